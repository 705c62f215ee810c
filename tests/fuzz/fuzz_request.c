/* Fuzz target: what a client sends to coldpath-chdb, behind the HTTP library: bytes as a statement, as it arrives in pieces; as a body in
 * each coding; as the names and values of URL parameters and headers. Offsets lie inside of the text; what says it is incomplete
 * is not so when nothing will follow; decoding gives bytes or a fault. */
#include <stdlib.h>
#include <string.h>

#include "embedded/codec.h"
#include "embedded/request.h"
#include "embedded/statement.h"
#include "tests/fuzz/fuzz.h"

enum { PIECES = 4, DECODED_MOST = 4 * 1024 * 1024 };

static void statement_try(const char *text, size_t size, size_t query_length, bool whole)
{
    cp_statement statement;
    cp_statement_parse(text, size, query_length, whole, &statement);
    if (whole && statement.kind == CP_STATEMENT_INCOMPLETE)
        abort();
    if (statement.kind == CP_STATEMENT_INSERT &&
        (statement.head > size || statement.tail > statement.tail_end || statement.tail_end > size ||
         statement.data > size))
        abort();
    (void)cp_format_streams(statement.format);
    (void)cp_format_content_type(statement.format);
}

static int count(void *context, const void *data, size_t length)
{
    size_t *total = context;
    (void)data;
    *total += length;
    return *total > DECODED_MOST; /* a bomb: enough of it */
}

static void codec_try(cp_coding coding, const uint8_t *data, size_t size)
{
    cp_decoder *decoder = cp_decoder_new(coding);
    cp_fault fault = {0};
    size_t total = 0;
    if (!decoder)
        abort();
    const size_t half = size / 2;
    if (cp_decoder_feed(decoder, data, half, count, &total, &fault) == 0 &&
        cp_decoder_feed(decoder, data + half, size - half, count, &total, &fault) == 0)
        (void)cp_decoder_finish(decoder, &fault);
    cp_fault_clear(&fault);
    cp_decoder_free(decoder);
}

/* name NUL value NUL name … */
static void parameters_try(const uint8_t *data, size_t size)
{
    cp_request *request = cp_request_new();
    char *text = malloc(size + 2);
    cp_text sql = {0};
    if (!request || !text)
        abort();
    memcpy(text, data, size);
    text[size] = text[size + 1] = '\0';
    for (size_t at = 0; at < size;) {
        const char *name = text + at;
        const char *value = name + strlen(name) + 1;
        cp_fault fault = {0};
        if (value > text + size)
            break;
        (void)cp_request_parameter(request, name, value, strlen(value), &fault);
        (void)cp_request_header(request, name, value, &fault);
        (void)cp_coding_choose(value);
        cp_fault_clear(&fault);
        at = (size_t)(value - text) + strlen(value) + 1;
    }
    cp_request_set(request, &sql);
    cp_request_unset(request, &sql);
    cp_text_free(&sql);
    cp_request_free(request);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    size--;
    for (size_t i = 1; i <= PIECES; i++)
        statement_try(text, size * i / PIECES, 0, i == PIECES);
    const char *line = memchr(text, '\n', size);
    if (line)
        statement_try(text, size, (size_t)(line + 1 - text), true);
    codec_try((cp_coding)(data[0] % CP_CODING_UNKNOWN), data + 1, size);
    parameters_try(data + 1, size);
    return 0;
}
