#include "embedded/exchange.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "embedded/codec.h"
#include "embedded/lease.h"
#include "embedded/reply.h"
#include "embedded/statement.h"

enum {
    HELD_DATA = 1024 * 1024, /* of an insert's data before the engine is asked for a place */
    LOOK_STEP = 4096, /* new text before it is looked at again: looking begins at its start each time */
    UUID_TEXT = 37,
    HEADER_VALUE = 320 /* room for the longest value, a query id of 256 */
};

typedef struct header {
    const char *name;
    char value[HEADER_VALUE];
} header;

struct cp_exchange {
    const cp_service *service;
    cp_request *request;
    cp_coding answer_coding;
    cp_fault fault;
    char query_id[257];
    uint64_t begun_ns;

    cp_decoder *decoder;
    uint64_t body_encoded, body_decoded;
    cp_text text;        /* the query parameter, a line break, and the decoded body so far */
    size_t query_length; /* of the query parameter and its line break in text */
    size_t looked;       /* text.length when it was last looked at */
    cp_statement statement;

    cp_lease lease;
    cp_engine_insert *insert;
    cp_engine_stats stats;

    cp_reply *reply;
    const char *format; /* of the result; NULL when there is none */
    bool finished;
    size_t fault_at; /* how much of the fault's text was read */
    size_t headers;
    header header[CP_EXCHANGE_HEADERS];
};

/* ---- beginning ----------------------------------------------------------------------------------------- */

static void query_id_make(cp_exchange *exchange)
{
    const char *given = exchange->request->query_id;
    if (given) {
        snprintf(exchange->query_id, sizeof exchange->query_id, "%s", given);
        return;
    }
    unsigned char r[16] = {0};
    (void)!getrandom(r, sizeof r, 0);             /* an id need not be secret */
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    snprintf(exchange->query_id, UUID_TEXT,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3],
             r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

static void exchange_begin(cp_exchange *exchange, const cp_exchange_options *options)
{
    cp_request *request = exchange->request;
    const cp_service *service = exchange->service;
    cp_fault *fault = &exchange->fault;
    const cp_coding coding = cp_coding_of_name(options->content_encoding);
    if (fault->code != 0 || cp_request_authenticate(request, service->user, service->password, fault) != 0)
        return;
    if (coding == CP_CODING_UNKNOWN) {
        cp_fault_set(fault, CP_FAULT_NOT_IMPLEMENTED,
                     "Content-Encoding '%.40s' is not supported: gzip, deflate, zstd and lz4 are.",
                     options->content_encoding);
        return;
    }
    if (request->compress || request->decompress) {
        cp_fault_set(
            fault, CP_FAULT_NOT_IMPLEMENTED,
            "URL parameters compress and decompress (ClickHouse's own block format) are not supported here: "
            "use Content-Encoding and Accept-Encoding.");
        return;
    }
    if (request->http_compression)
        exchange->answer_coding = cp_coding_choose(options->accept_encoding);
    exchange->decoder = cp_decoder_new(coding);
    if (request->query.length > 0) {
        cp_text_append(&exchange->text, request->query.data, request->query.length);
        cp_text_append(&exchange->text, "\n", 1);
        exchange->query_length = exchange->text.length;
    }
    if (!exchange->decoder || exchange->text.failed)
        cp_fault_set(fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Out of memory.");
}

cp_exchange *cp_exchange_new(const cp_exchange_options *options, cp_fault *fault)
{
    cp_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange) {
        cp_request_free(options->request);
        cp_fault_clear(fault);
        return NULL;
    }
    exchange->service = options->service;
    exchange->request = options->request;
    exchange->lease = (cp_lease){.engine = options->service->engine,
                                 .sessions = options->service->sessions,
                                 .request = options->request,
                                 .readonly = options->readonly};
    exchange->begun_ns = cp_boottime_ns();
    exchange->fault = *fault;
    *fault = (cp_fault){0};
    query_id_make(exchange);
    exchange_begin(exchange, options);
    return exchange;
}

/* ---- the body ------------------------------------------------------------------------------------------ */

static int no_memory(cp_exchange *exchange)
{
    return cp_fault_set(&exchange->fault, CP_FAULT_CANNOT_ALLOCATE_MEMORY, "Out of memory.");
}

/* Gives the connection back: an open insert is cancelled, a reply is left with what it has gathered. */
static void exchange_disconnect(cp_exchange *exchange)
{
    cp_engine_insert_cancel(exchange->insert);
    exchange->insert = NULL;
    if (exchange->reply)
        cp_reply_detach(exchange->reply);
    cp_lease_give(&exchange->lease);
}

static cp_engine_sql sql_of(const cp_exchange *exchange, const char *text, size_t length, const char *format)
{
    const cp_pairs *params = &exchange->request->params;
    return (cp_engine_sql){
        .text = text,
        .length = length,
        .format = format,
        .params = params->count,
        .param_names = (const char *const *)params->names,
        .param_name_lengths = params->name_lengths,
        .param_values = (const char *const *)params->values,
        .param_value_lengths = params->value_lengths,
    };
}

/* Opens the insert whose head is in the text, and hands over what data is there. */
static int insert_begin(cp_exchange *exchange)
{
    const cp_statement *statement = &exchange->statement;
    if (cp_lease_take(&exchange->lease, &exchange->fault) != 0)
        return exchange->fault.code;
    cp_text head = {0};
    cp_text_append(&head, exchange->text.data, statement->head);
    cp_text_append(&head, exchange->text.data + statement->tail, statement->tail_end - statement->tail);
    const cp_engine_sql sql = sql_of(exchange, head.data, head.length, statement->format);
    int code = head.failed
                   ? no_memory(exchange)
                   : cp_engine_insert_open(exchange->lease.conn, &sql, &exchange->insert, &exchange->fault);
    cp_text_free(&head);
    const size_t held = exchange->text.length - statement->data;
    if (code == 0 && held > 0) {
        code = cp_engine_insert_append(exchange->insert, exchange->text.data + statement->data, held,
                                       &exchange->fault);
    }
    cp_text_free(&exchange->text);
    return code;
}

/* Looks at the collected text; begins an insert when enough of its data is there. */
static int text_look(cp_exchange *exchange)
{
    cp_statement *statement = &exchange->statement;
    if (statement->kind == CP_STATEMENT_INCOMPLETE) {
        if (exchange->text.length - exchange->looked < LOOK_STEP)
            return 0;
        exchange->looked = exchange->text.length;
        cp_statement_parse(exchange->text.data, exchange->text.length, exchange->query_length, false,
                           statement);
    }
    if (statement->kind == CP_STATEMENT_INSERT)
        return exchange->text.length - statement->data > HELD_DATA ? insert_begin(exchange) : 0;
    if (exchange->text.length > exchange->request->query_size) {
        return cp_fault_set(
            &exchange->fault, CP_FAULT_SYNTAX_ERROR,
            "Syntax error: failed at position %zu: Max query size exceeded (can be increased with the "
            "`max_query_size` setting).",
            exchange->request->query_size + 1);
    }
    return 0;
}

static int body_too_big(cp_exchange *exchange)
{
    return cp_fault_set(&exchange->fault, CP_FAULT_QUERY_IS_TOO_LARGE,
                        "The request's body is larger than %" PRIu64
                        " bytes: send it in several, or raise --max-body.",
                        exchange->service->max_body);
}

void cp_exchange_refuse_body(cp_exchange *exchange)
{
    body_too_big(exchange);
}

/* The decoder's sink. */
static int take_text(void *context, const void *data, size_t length)
{
    cp_exchange *exchange = context;
    exchange->body_decoded += length;
    if (exchange->body_decoded > exchange->service->max_body)
        return body_too_big(exchange);
    if (exchange->insert)
        return cp_engine_insert_append(exchange->insert, data, length, &exchange->fault);
    cp_text_append(&exchange->text, data, length);
    return exchange->text.failed ? no_memory(exchange) : text_look(exchange);
}

bool cp_exchange_body(cp_exchange *exchange, const void *data, size_t length)
{
    const uint64_t limit = exchange->service->max_body;
    exchange->body_encoded += length;
    if (exchange->body_encoded > limit && exchange->fault.code == 0)
        body_too_big(exchange);
    if (exchange->fault.code == 0)
        cp_decoder_feed(exchange->decoder, data, length, take_text, exchange, &exchange->fault);
    if (exchange->fault.code != 0 && exchange->lease.conn)
        exchange_disconnect(exchange); /* its place in the engine is free while the rest of the body passes */
    /* The rest is read so that the client gets to see the answer, but only so much of it. */
    return exchange->body_encoded <= limit || exchange->body_encoded - limit <= limit;
}

/* ---- the statement ------------------------------------------------------------------------------------- */

static int statement_refuse(cp_exchange *exchange)
{
    const cp_statement *statement = &exchange->statement;
    cp_fault *fault = &exchange->fault;
    if (statement->kind == CP_STATEMENT_EMPTY || statement->kind == CP_STATEMENT_INCOMPLETE)
        return cp_fault_set(fault, CP_FAULT_SYNTAX_ERROR, "Empty query.");
    if (statement->into_outfile)
        return cp_fault_set(fault, CP_FAULT_INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed.");
    if (statement->from_infile) {
        return cp_fault_set(fault, CP_FAULT_UNKNOWN_TYPE_OF_QUERY,
                            "Query has infile and was sent directly to the server.");
    }
    if (statement->reads_input) {
        return cp_fault_set(
            fault, CP_FAULT_NOT_IMPLEMENTED,
            "INSERT … SELECT with data (the table function input) is not supported by the embedded engine.");
    }
    return 0;
}

/* Runs a statement that is whole in the text. */
static int statement_run(cp_exchange *exchange)
{
    cp_fault *fault = &exchange->fault;
    const cp_statement *statement = &exchange->statement;
    unsigned statements = 0;
    const cp_engine_class kind =
        cp_engine_classify(exchange->lease.conn, exchange->text.data, exchange->text.length, &statements);
    if (statements > 1)
        return cp_fault_set(fault, CP_FAULT_SYNTAX_ERROR, "Syntax error (Multi-statements are not allowed).");
    const char *wanted = exchange->request->default_format;
    const char *format = statement->format[0] != '\0' ? statement->format : wanted ? wanted : "TabSeparated";
    const cp_engine_sql sql =
        sql_of(exchange, exchange->text.data, exchange->text.length, wanted ? wanted : "TabSeparated");
    bool streams = statement->kind == CP_STATEMENT_SELECT && cp_format_streams(format);
    if (streams && cp_engine_stream(exchange->lease.conn, &sql, &streams, fault) != 0)
        return fault->code;
    cp_engine_chunk whole = {0};
    if (!streams && cp_engine_query(exchange->lease.conn, &sql, &whole, &exchange->stats, fault) != 0)
        return fault->code;
    if (kind == CP_ENGINE_READ_ONLY || whole.length > 0)
        exchange->format = format;
    exchange->reply = cp_reply_new(exchange->lease.conn, exchange->service->directory,
                                   exchange->answer_coding, exchange->request->compression_level);
    if (!exchange->reply) {
        cp_engine_chunk_free(exchange->lease.conn, &whole);
        cp_engine_stream_close(exchange->lease.conn);
        return no_memory(exchange);
    }
    if (streams) {
        cp_reply_from_stream(exchange->reply);
    } else {
        cp_reply_from_chunk(exchange->reply, &whole);
        if (whole.length == 0) /* nothing to encode: an empty body has no coding either */
            exchange->answer_coding = CP_CODING_IDENTITY;
    }
    cp_engine_stats streamed = {0};
    const int code = cp_reply_fill(exchange->reply, exchange->request->buffer_size,
                                   exchange->request->wait_end_of_query, &streamed, fault);
    if (streams)
        exchange->stats = streamed;
    return code;
}

static int insert_finish(cp_exchange *exchange)
{
    if (!exchange->insert && insert_begin(exchange) != 0)
        return exchange->fault.code;
    cp_engine_insert *insert = exchange->insert;
    exchange->insert = NULL;
    cp_engine_insert_commit(insert, &exchange->stats, &exchange->fault);
    exchange->stats.read_rows = exchange->stats.written_rows; /* a server counts the data as read, too */
    exchange->stats.read_bytes = exchange->stats.written_bytes;
    exchange->stats.result_rows = exchange->stats.written_rows;
    exchange->stats.result_bytes = exchange->stats.written_bytes;
    exchange->answer_coding = CP_CODING_IDENTITY;
    return exchange->fault.code;
}

static void exchange_execute(cp_exchange *exchange)
{
    cp_statement *statement = &exchange->statement;
    if (cp_decoder_finish(exchange->decoder, &exchange->fault) != 0)
        return;
    if (!exchange->insert && statement->kind == CP_STATEMENT_INCOMPLETE) {
        cp_statement_parse(exchange->text.data, exchange->text.length, exchange->query_length, true,
                           statement);
    }
    if (!exchange->insert && statement_refuse(exchange) != 0)
        return;
    if (statement->kind == CP_STATEMENT_INSERT)
        insert_finish(exchange);
    else if (cp_lease_take(&exchange->lease, &exchange->fault) == 0)
        statement_run(exchange);
}

/* ---- the answer ---------------------------------------------------------------------------------------- */

/* The place for the value of one more header, of HEADER_VALUE bytes. */
static char *header_add(cp_exchange *exchange, const char *name)
{
    const size_t at = exchange->headers < CP_EXCHANGE_HEADERS ? exchange->headers++ : CP_EXCHANGE_HEADERS - 1;
    exchange->header[at].name = name;
    return exchange->header[at].value;
}

static void header_text(cp_exchange *exchange, const char *name, const char *value)
{
    snprintf(header_add(exchange, name), HEADER_VALUE, "%s", value);
}

static void headers_make(cp_exchange *exchange)
{
    const cp_engine_stats *stats = &exchange->stats;
    const int code = exchange->fault.code;
    const char *format = code == 0 ? exchange->format : NULL;
    header_text(exchange, "Content-Type",
                format ? cp_format_content_type(format) : "text/plain; charset=UTF-8");
    header_text(exchange, "X-ClickHouse-Server-Display-Name", exchange->service->display_name);
    header_text(exchange, "X-ClickHouse-Query-Id", exchange->query_id);
    if (format)
        header_text(exchange, "X-ClickHouse-Format", format);
    header_text(exchange, "X-ClickHouse-Timezone", cp_engine_timezone(exchange->service->engine));
    if (code == 0 && exchange->reply)
        header_text(exchange, "X-ClickHouse-Exception-Tag", cp_reply_tag(exchange->reply));
    if (code == 0 && exchange->answer_coding != CP_CODING_IDENTITY) {
        header_text(exchange, "Content-Encoding", cp_coding_name(exchange->answer_coding));
        header_text(exchange, "Vary", "Accept-Encoding");
    }
    if (code != 0)
        snprintf(header_add(exchange, "X-ClickHouse-Exception-Code"), HEADER_VALUE, "%d", code);
    snprintf(header_add(exchange, "X-ClickHouse-Summary"), HEADER_VALUE,
             "{\"read_rows\":\"%" PRIu64 "\",\"read_bytes\":\"%" PRIu64 "\",\"written_rows\":\"%" PRIu64
             "\",\"written_bytes\":\"%" PRIu64 "\",\"total_rows_to_read\":\"0\",\"result_rows\":\"%" PRIu64
             "\",\"result_bytes\":\"%" PRIu64 "\",\"elapsed_ns\":\"%" PRIu64 "\"}",
             stats->read_rows, stats->read_bytes, stats->written_rows, stats->written_bytes,
             stats->result_rows, stats->result_bytes, cp_boottime_ns() - exchange->begun_ns);
}

static void exchange_log(const cp_exchange *exchange)
{
    char quoted[CP_LOG_LINE / 2];
    const uint64_t ms = (cp_boottime_ns() - exchange->begun_ns) / CP_NS_PER_MS;
    cp_log_quote(quoted, sizeof quoted, exchange->fault.text ? exchange->fault.text : "");
    cp_log(CP_LOG_DEBUG, "request",
           "query_id=%s status=%u ms=%" PRIu64 " read_rows=%" PRIu64 " written_rows=%" PRIu64 " error=%s",
           exchange->query_id, cp_exchange_status(exchange), ms, exchange->stats.read_rows,
           exchange->stats.written_rows, quoted);
}

void cp_exchange_finish(cp_exchange *exchange)
{
    if (exchange->finished)
        return;
    exchange->finished = true;
    if (exchange->fault.code == 0)
        exchange_execute(exchange);
    /* Before the client has the answer: its next request may want the same session. */
    if (exchange->lease.conn &&
        (exchange->fault.code != 0 || !exchange->reply || cp_reply_ended(exchange->reply)))
        exchange_disconnect(exchange);
    headers_make(exchange);
    exchange_log(exchange);
}

unsigned cp_exchange_status(const cp_exchange *exchange)
{
    enum { OK = 200 };
    return exchange->fault.code == 0 ? OK : cp_fault_http_status(exchange->fault.code);
}

bool cp_exchange_header(const cp_exchange *exchange, size_t index, const char **name, const char **value)
{
    if (index >= exchange->headers)
        return false;
    *name = exchange->header[index].name;
    *value = exchange->header[index].value;
    return true;
}

int64_t cp_exchange_length(const cp_exchange *exchange)
{
    if (exchange->fault.code != 0)
        return exchange->fault.text ? (int64_t)strlen(exchange->fault.text) + 1 : 0;
    return exchange->reply ? cp_reply_length(exchange->reply) : 0;
}

ssize_t cp_exchange_read(cp_exchange *exchange, char *buffer, size_t size)
{
    if (exchange->fault.code == 0) {
        const ssize_t got = exchange->reply ? cp_reply_read(exchange->reply, buffer, size) : 0;
        if (exchange->lease.conn && cp_reply_ended(exchange->reply))
            exchange_disconnect(exchange);
        return got;
    }
    const char *text = exchange->fault.text ? exchange->fault.text : "";
    const size_t length = strlen(text);
    if (exchange->fault_at > length || length == 0)
        return 0;
    if (exchange->fault_at == length) {
        buffer[0] = '\n'; /* as a server ends it */
        exchange->fault_at++;
        return 1;
    }
    const size_t left = length - exchange->fault_at;
    const size_t step = left < size ? left : size;
    memcpy(buffer, text + exchange->fault_at, step);
    exchange->fault_at += step;
    return (ssize_t)step;
}

void cp_exchange_free(cp_exchange *exchange)
{
    if (!exchange)
        return;
    exchange_disconnect(exchange);
    cp_reply_free(exchange->reply);
    cp_decoder_free(exchange->decoder);
    cp_text_free(&exchange->text);
    cp_fault_clear(&exchange->fault);
    cp_request_free(exchange->request);
    free(exchange);
}
