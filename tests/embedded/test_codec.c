/* Codecs: what is encoded comes back, however the bytes are cut; damaged and cut bodies are told from whole ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embedded/codec.h"
#include "embedded/text.h"

enum { BODY = 700 * 1000 };

static uint64_t seed_state;

static uint64_t random_next(void)
{
    seed_state ^= seed_state << 13; /* xorshift64 */
    seed_state ^= seed_state >> 7;
    seed_state ^= seed_state << 17;
    return seed_state;
}

static int gather(void *context, const void *data, size_t length)
{
    cp_text *text = context;
    cp_text_append(text, data, length);
    return 0;
}

static int refuse(void *context, const void *data, size_t length)
{
    (void)context;
    (void)data;
    (void)length;
    return 42;
}

/* Half random, half repetitive: both kinds of blocks in one body. */
static char *body_make(size_t length)
{
    char *body = malloc(length + 1);
    assert_non_null(body);
    for (size_t i = 0; i < length; i++)
        body[i] = i % 2000 < 1000 ? (char)random_next() : (char)('a' + i % 7);
    return body;
}

static void encode(cp_coding coding, const char *body, size_t length, cp_text *out)
{
    cp_encoder *encoder = cp_encoder_new(coding, 3);
    assert_non_null(encoder);
    for (size_t at = 0; at < length;) {
        const size_t left = length - at;
        const size_t step = 1 + random_next() % 200000;
        const size_t now = step < left ? step : left;
        assert_int_equal(cp_encoder_feed(encoder, body + at, now, false, gather, out), 0);
        at += now;
    }
    assert_int_equal(cp_encoder_feed(encoder, NULL, 0, true, gather, out), 0);
    cp_encoder_free(encoder);
}

/* Decodes data in pieces of at most `most`; the fault's code of the first failure, or of the end. */
static int decode(cp_coding coding, const char *data, size_t length, size_t most, cp_text *out)
{
    cp_fault fault = {0};
    cp_decoder *decoder = cp_decoder_new(coding);
    assert_non_null(decoder);
    int code = 0;
    for (size_t at = 0; at < length && code == 0;) {
        const size_t left = length - at;
        const size_t step = 1 + random_next() % most;
        const size_t now = step < left ? step : left;
        code = cp_decoder_feed(decoder, data + at, now, gather, out, &fault);
        at += now;
    }
    if (code == 0)
        code = cp_decoder_finish(decoder, &fault);
    assert_int_equal(code, fault.code);
    cp_decoder_free(decoder);
    cp_fault_clear(&fault);
    return code;
}

static void test_round_trip(void **state)
{
    (void)state;
    const size_t lengths[] = {0, 1, 1000, CP_CODEC_PIECE, BODY};
    char *body = body_make(BODY);
    for (int coding = CP_CODING_IDENTITY; coding < CP_CODING_UNKNOWN; coding++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            cp_text encoded = {0};
            cp_text decoded = {0};
            encode((cp_coding)coding, body, lengths[i], &encoded);
            assert_int_equal(decode((cp_coding)coding, encoded.data, encoded.length, 100000, &decoded), 0);
            assert_int_equal(decoded.length, lengths[i]);
            assert_true(lengths[i] == 0 || memcmp(decoded.data, body, lengths[i]) == 0);
            cp_text_free(&encoded);
            cp_text_free(&decoded);
        }
    }
    free(body);
}

static void test_byte_by_byte_and_several_frames(void **state)
{
    (void)state;
    for (int coding = CP_CODING_GZIP; coding < CP_CODING_UNKNOWN; coding++) {
        if (coding == CP_CODING_DEFLATE)
            continue; /* several zlib streams after one another are no body anyone sends */
        cp_text encoded = {0};
        cp_text decoded = {0};
        encode((cp_coding)coding, "first ", 6, &encoded);
        encode((cp_coding)coding, "second", 6, &encoded);
        assert_int_equal(decode((cp_coding)coding, encoded.data, encoded.length, 1, &decoded), 0);
        assert_string_equal(decoded.data, "first second");
        cp_text_free(&encoded);
        cp_text_free(&decoded);
    }
}

static void test_truncated(void **state)
{
    (void)state;
    const int codes[] = {0, CP_FAULT_ZLIB_INFLATE_FAILED, CP_FAULT_ZLIB_INFLATE_FAILED,
                         CP_FAULT_ZSTD_DECODER_FAILED, CP_FAULT_LZ4_DECODER_FAILED};
    char *body = body_make(5000);
    for (int coding = CP_CODING_GZIP; coding < CP_CODING_UNKNOWN; coding++) {
        cp_text encoded = {0};
        encode((cp_coding)coding, body, 5000, &encoded);
        for (size_t length = 1; length < encoded.length; length++) {
            cp_text decoded = {0};
            assert_int_equal(decode((cp_coding)coding, encoded.data, length, encoded.length, &decoded),
                             codes[coding]);
            cp_text_free(&decoded);
        }
        cp_text_free(&encoded);
    }
    free(body);
}

static void test_rubbish_is_refused(void **state)
{
    (void)state;
    for (int coding = CP_CODING_GZIP; coding < CP_CODING_UNKNOWN; coding++) {
        cp_text decoded = {0};
        static const char rubbish[] = "this is no frame of anything at all";
        assert_int_not_equal(decode((cp_coding)coding, rubbish, sizeof rubbish, 7, &decoded), 0);
        cp_text_free(&decoded);
    }
}

static void test_sink_stops_it(void **state)
{
    (void)state;
    for (int coding = CP_CODING_IDENTITY; coding < CP_CODING_UNKNOWN; coding++) {
        cp_text encoded = {0};
        cp_fault fault = {0};
        encode((cp_coding)coding, "abc", 3, &encoded);
        cp_decoder *decoder = cp_decoder_new((cp_coding)coding);
        assert_int_equal(cp_decoder_feed(decoder, encoded.data, encoded.length, refuse, NULL, &fault), 42);
        assert_int_equal(fault.code, 0);
        cp_decoder_free(decoder);
        cp_text_free(&encoded);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(cp_coding_of_name(NULL), CP_CODING_IDENTITY);
    assert_int_equal(cp_coding_of_name(""), CP_CODING_IDENTITY);
    assert_int_equal(cp_coding_of_name("identity"), CP_CODING_IDENTITY);
    assert_int_equal(cp_coding_of_name("GZIP"), CP_CODING_GZIP);
    assert_int_equal(cp_coding_of_name("zstd"), CP_CODING_ZSTD);
    assert_int_equal(cp_coding_of_name("br"), CP_CODING_UNKNOWN);
    assert_int_equal(cp_coding_choose(NULL), CP_CODING_IDENTITY);
    assert_int_equal(cp_coding_choose("br, xz"), CP_CODING_IDENTITY);
    assert_int_equal(cp_coding_choose("gzip, deflate, zstd"), CP_CODING_ZSTD);
    assert_int_equal(cp_coding_choose("gzip, zstd;q=0"), CP_CODING_GZIP);
    assert_int_equal(cp_coding_choose("gzip;q=0.5"), CP_CODING_GZIP);
    assert_int_equal(cp_coding_choose("xgzip,gzipx"), CP_CODING_IDENTITY);
    assert_int_equal(cp_coding_choose(",, ;"), CP_CODING_IDENTITY);
}

int main(void)
{
    const char *seed = getenv("CP_SEED");
    seed_state = seed ? strtoull(seed, NULL, 10) : 20260101;
    seed_state = seed_state ? seed_state : 1;
    print_message("CP_SEED=%llu\n", (unsigned long long)seed_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_byte_by_byte_and_several_frames),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_rubbish_is_refused),
        cmocka_unit_test(test_sink_stops_it), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
