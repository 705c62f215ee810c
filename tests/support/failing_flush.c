/* What delivery calls of libcurl, zstd, xxHash and of stdio; see failing.h. */
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <xxhash.h>
#include <zstd.h>

#include "tests/support/failing.h"

enum { ZSTD_MEMORY = 64 /* ZSTD_error_memory_allocation */ };

#define WRAP(type, name, result, parameters, arguments)                                                      \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return failing_call(#name, __builtin_frame_address(0)) ? (result) : __real_##name arguments;         \
    }

WRAP(CURL *, curl_easy_init, NULL, (void), ())
WRAP(CURLM *, curl_multi_init, NULL, (void), ())
WRAP(CURLMcode, curl_multi_add_handle, CURLM_OUT_OF_MEMORY, (CURLM * multi, CURL *easy), (multi, easy))
WRAP(CURLMcode, curl_multi_poll, CURLM_OUT_OF_MEMORY,
     (CURLM * multi, struct curl_waitfd fds[], unsigned count, int timeout, int *ready),
     (multi, fds, count, timeout, ready))
WRAP(CURLU *, curl_url, NULL, (void), ())
WRAP(struct curl_slist *, curl_slist_append, NULL, (struct curl_slist * list, const char *line), (list, line))
WRAP(ZSTD_CCtx *, ZSTD_createCCtx, NULL, (void), ())
WRAP(size_t, ZSTD_CCtx_setParameter, (size_t)-ZSTD_MEMORY,
     (ZSTD_CCtx * context, ZSTD_cParameter parameter, int value), (context, parameter, value))
WRAP(size_t, ZSTD_compressStream2, (size_t)-ZSTD_MEMORY,
     (ZSTD_CCtx * context, ZSTD_outBuffer *out, ZSTD_inBuffer *in, ZSTD_EndDirective end),
     (context, out, in, end))
WRAP(XXH3_state_t *, XXH3_createState, NULL, (void), ())
WRAP(int, pthread_attr_init, ENOMEM, (pthread_attr_t * attributes), (attributes))

int __real_fflush(FILE *stream);
int __wrap_fflush(FILE *stream);
int __wrap_fflush(FILE *stream)
{
    if (!failing_call("fflush", __builtin_frame_address(0)))
        return __real_fflush(stream);
    errno = ENOSPC;
    return EOF;
}

int __real_fclose(FILE *stream);
int __wrap_fclose(FILE *stream);
int __wrap_fclose(FILE *stream)
{
    const bool fails = failing_call("fclose", __builtin_frame_address(0));
    if (__real_fclose(stream) == 0 && !fails)
        return 0;
    errno = ENOSPC;
    return EOF;
}
