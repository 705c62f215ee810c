/* The monitor's HTTP server: what a watch (watch.h) sees, for Prometheus, probes, programs and people. Read-only.
 *
 *     /                 the page                      /metrics          Prometheus text
 *     /healthz          this server answers           /api/v1/status    everything, JSON
 *     /readyz           the recorder is well,         /api/v1/history   the last five minutes, JSON
 *                       or 503 and why not
 *
 * One thread serves all; connections, header sizes and waiting times are bounded. On a loopback address only requests for a
 * loopback host are answered, so that a web page under another name that resolves to this host cannot read it. Elsewhere it asks for
 * TLS and a token (access.h). */
#ifndef CP_MONITOR_SERVER_H
#define CP_MONITOR_SERVER_H

#include <coldpath/error.h>

#include "monitor/access.h"

#define CP_MONITOR_LISTEN "127.0.0.1:9464" /* where `coldpath monitor` listens unless told otherwise */

typedef struct cp_monitor cp_monitor;

typedef struct cp_monitor_config {
    const char *region_dir; /* watched; need not be there */
    const char *listen;     /* base/address.h */
    cp_access_config access;
} cp_monitor_config;

/* Whether it could be started as far as the configuration and its files decide: the address, certificate, key and token, and that these
 * can be used. Listens nowhere. CP_E_INVAL: no address, or no certificate and key for TLS; errors of cp_access_load. */
int cp_monitor_check(const cp_monitor_config *config, cp_error *err);

/* Serves until it is stopped; nothing of config is kept but copies. Callers install the SIGBUS guard first. CP_E_BUSY: the port is taken;
 * CP_E_PERM, CP_E_IO, CP_E_NOMEM; errors of cp_monitor_check. */
int cp_monitor_start(cp_monitor **out, const cp_monitor_config *config, cp_error *err);

/* To be called once a second or so, on the thread that started it: takes certificate, key and token anew when one of the files has
 * changed since they were taken, and not any more since the last call. 1: taken, for connections from now on; 0: nothing to do; errors of
 * cp_monitor_check: they cannot be used, what was taken before goes on, and they are tried again when they change again. NULL is allowed. */
int cp_monitor_renew(cp_monitor *monitor, cp_error *err);

/* "http" or "https". */
const char *cp_monitor_scheme(const cp_monitor *monitor);

/* "127.0.0.1:9464": where it listens, the port the system's choice when 0 was asked for. */
const char *cp_monitor_address(const cp_monitor *monitor);

/* NULL is allowed. */
void cp_monitor_stop(cp_monitor *monitor);

#endif
