#include "recorder/log_buffer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"

int cp_log_buffer_create(cp_log_buffer *buffer, const cp_config *config, cp_error *err)
{
    memset(buffer, 0, sizeof *buffer);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < config->table_count; i++) {
        if (config->tables[i].critical && config->tables[i].batch.max_bytes > bytes)
            bytes = config->tables[i].batch.max_bytes;
    }
    if (bytes == 0)
        return CP_OK;
    buffer->data_size = bytes + CP_LOG_CHUNK_MAX;
    buffer->row_count = buffer->data_size / CP_LOG_RECORD_MIN;
    buffer->chunks = calloc(CP_BATCH_CHUNKS, sizeof *buffer->chunks);
    buffer->pointers = calloc(CP_BATCH_CHUNKS, sizeof(void *));
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    buffer->data = mmap(NULL, buffer->data_size, PROT_READ | PROT_WRITE, flags, -1, 0);
    buffer->rows = mmap(NULL, buffer->row_count * sizeof(uint32_t), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (!buffer->chunks || !buffer->pointers || buffer->data == MAP_FAILED ||
        (void *)buffer->rows == MAP_FAILED)
        return cp_error_set(err, CP_E_NOMEM, "no %llu bytes to read batches from the logs",
                            (unsigned long long)buffer->data_size);
    return CP_OK;
}

void cp_log_buffer_destroy(cp_log_buffer *buffer)
{
    if (buffer->data && buffer->data != MAP_FAILED)
        munmap(buffer->data, buffer->data_size);
    if (buffer->rows && (void *)buffer->rows != MAP_FAILED)
        munmap(buffer->rows, buffer->row_count * sizeof(uint32_t));
    free(buffer->chunks);
    free(buffer->pointers);
    memset(buffer, 0, sizeof *buffer);
}

uint32_t cp_log_buffer_fill(cp_log_buffer *buffer, const cp_batch_policy *policy, cp_wal_reader *reader,
                            uint64_t lo, uint64_t hi, cp_error *err)
{
    uint64_t bytes = 0;
    uint64_t rows = 0;
    uint64_t index = 0;
    uint32_t count = 0;
    int rc = cp_wal_reader_position(reader) == lo ? CP_OK : cp_wal_reader_seek(reader, lo, err);
    while (rc == CP_OK && count < CP_BATCH_CHUNKS && lo + count <= hi && bytes < policy->max_bytes &&
           rows < policy->max_rows) {
        cp_chunk *chunk = &buffer->chunks[count];
        uint64_t lsn = 0;
        *chunk = (cp_chunk){.data = buffer->data + bytes, .row_at = buffer->rows + index};
        chunk->data_capacity =
            (uint32_t)(buffer->data_size - bytes < CP_LOG_CHUNK_MAX ? buffer->data_size - bytes
                                                                    : CP_LOG_CHUNK_MAX);
        chunk->row_capacity = (uint32_t)(chunk->data_capacity / CP_LOG_RECORD_MIN);
        rc = cp_wal_reader_next(reader, chunk, &lsn, err);
        if (rc < 0 || lsn != lo + count)
            break;
        buffer->pointers[count++] = chunk;
        bytes += chunk->byte_count;
        index += chunk->row_count;
        rows += chunk->row_count;
    }
    return count;
}
