/* What a program exits with for an error of ours, after <sysexits.h>: the same for all that put or look. coldpathd and coldpath-chdb, which
 * meet other errors, have tables of their own. */
#ifndef CP_BASE_EXIT_CODE_H
#define CP_BASE_EXIT_CODE_H

/* 0 CP_OK; 69 no region or no recorder, or the region cannot be used: busy, damaged, another version; 74 input/output; 78 configuration;
 * 1 all else. */
int cp_exit_of(int code);

#endif
