#include "monitor/access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

enum {
    FILE_MAX = 256 * 1024, /* a chain of certificates has a few KiB */
    READABLE_BY_ALL = 0007
};

/* ---- files ----------------------------------------------------------------------------------------------------- */

static int file_fail(int fd, const char *path, const char *what, cp_error *err)
{
    const int why = errno;
    if (fd >= 0)
        close(fd);
    return cp_error_errno(err, cp_error_code_of_errno(why), why, "%s: %s", path, what);
}

/* Looks at an open file before anything is read from it; its size, or an error. */
static long long file_check(int fd, const char *path, bool secret, cp_error *err)
{
    struct stat file;
    if (fstat(fd, &file) < 0)
        return file_fail(-1, path, "look at it", err);
    if (!S_ISREG(file.st_mode) || file.st_size > FILE_MAX)
        return cp_error_set(err, CP_E_INVAL, "%s: is no file of at most %d KiB", path, FILE_MAX >> 10);
    if (secret && (file.st_mode & READABLE_BY_ALL))
        return cp_error_set(err, CP_E_PERM, "%s: everyone can read it: chmod o= it, and make a new one",
                            path);
    return file.st_size;
}

/* The whole of a small file, ended by a NUL. */
static int file_read(const char *path, bool secret, char **out, cp_error *err)
{
    *out = NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return file_fail(-1, path, "open it", err);
    const long long size = file_check(fd, path, secret, err);
    char *text = size < 0 ? NULL : calloc(1, (size_t)size + 1);
    if (!text) {
        close(fd);
        return size < 0 ? (int)size : cp_error_set(err, CP_E_NOMEM, "%s: no memory for it", path);
    }
    size_t used = 0;
    ssize_t got = 1;
    while (used < (size_t)size && (got = read(fd, text + used, (size_t)size - used)) != 0) {
        if (got < 0 && errno != EINTR)
            break;
        used += got > 0 ? (size_t)got : 0;
    }
    if (got < 0) {
        explicit_bzero(text, used);
        free(text);
        return file_fail(fd, path, "read it", err);
    }
    close(fd);
    *out = text;
    return CP_OK;
}

/* ---- the token ------------------------------------------------------------------------------------------------- */

/* Cuts the text behind its first line; whether that can be a token. */
static bool token_cut(char *text)
{
    const size_t len = strcspn(text, "\r\n");
    bool sound = len >= CP_TOKEN_MIN && len <= CP_TOKEN_MAX;
    for (size_t i = 0; i < len; i++)
        sound = sound && text[i] > ' ' && text[i] <= '~';
    explicit_bzero(text + len, strlen(text + len));
    return sound;
}

static int token_read(cp_access *access, const char *path, cp_error *err)
{
    const int rc = file_read(path, true, &access->token, err);
    if (access->token && !token_cut(access->token))
        return cp_error_set(err, CP_E_INVAL,
                            "%s: its first line is no token of %d to %d printable characters without spaces: "
                            "openssl rand -hex 32 makes one",
                            path, CP_TOKEN_MIN, CP_TOKEN_MAX);
    return rc;
}

bool cp_access_matches(const cp_access *access, const char *given)
{
    if (!given || !access->token)
        return false;
    const size_t len = strlen(access->token);
    const size_t given_len = strlen(given);
    volatile unsigned char differs = len != given_len;
    for (size_t i = 0; i < len; i++) /* always all of the token; beyond the given text its final NUL again */
        differs |= (unsigned char)(access->token[i] ^ given[i < given_len ? i : given_len]);
    return differs == 0;
}

const char *cp_access_bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    authorization += sizeof scheme - 1;
    return authorization + strspn(authorization, " ");
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static int protection_check(const cp_access_config *config, const cp_address *address, cp_error *err)
{
    char where[CP_ADDRESS_TEXT];
    if (!config->certificate_file != !config->key_file)
        return cp_error_set(err, CP_E_CONFIG,
                            "TLS needs a certificate and its key: monitor.certificate_file and "
                            "monitor.key_file, or --certificate and --key");
    if (cp_address_is_loopback(address) || config->unprotected ||
        (config->certificate_file && config->token_file))
        return CP_OK;
    return cp_error_set(
        err, CP_E_CONFIG,
        "%s is reached from other hosts, and has no %s: give monitor.certificate_file, "
        "monitor.key_file and monitor.token_file, listen on 127.0.0.1, or say monitor.unprotected: on "
        "(--unprotected) where something else protects it",
        cp_address_format(address, where),
        config->certificate_file ? "token"
        : config->token_file     ? "TLS"
                                 : "TLS and no token");
}

int cp_access_load(cp_access *access, const cp_access_config *config, const cp_address *address,
                   cp_error *err)
{
    *access = (cp_access){.health_open = config->health_open};
    int rc = protection_check(config, address, err);
    if (rc == CP_OK && config->certificate_file)
        rc = file_read(config->certificate_file, false, &access->certificate, err);
    if (rc == CP_OK && config->key_file)
        rc = file_read(config->key_file, true, &access->key, err);
    if (rc == CP_OK && config->token_file)
        rc = token_read(access, config->token_file, err);
    if (rc < 0)
        cp_access_free(access);
    return rc;
}

void cp_access_stamp_take(cp_access_stamp *stamp, const cp_access_config *config)
{
    const char *const paths[CP_ACCESS_FILES] = {config->certificate_file, config->key_file,
                                                config->token_file};
    memset(stamp, 0, sizeof *stamp);
    for (size_t i = 0; i < CP_ACCESS_FILES; i++) {
        struct stat file;
        if (!paths[i] || stat(paths[i], &file) < 0)
            continue;
        stamp->files[i].device = file.st_dev;
        stamp->files[i].inode = file.st_ino;
        stamp->files[i].size = (uint64_t)file.st_size;
        stamp->files[i].changed_ns = file.st_ctim.tv_sec * (int64_t)CP_NS_PER_S + file.st_ctim.tv_nsec;
    }
}

bool cp_access_stamp_equal(const cp_access_stamp *a, const cp_access_stamp *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* four numbers of 64 bits each: nothing between them */
}

static void secret_free(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

void cp_access_free(cp_access *access)
{
    free(access->certificate);
    access->certificate = NULL;
    secret_free(&access->key);
    secret_free(&access->token);
}
