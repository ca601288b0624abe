/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reason.h - why something failed, in one line for the operator, beside the errno for the caller.
 *
 * Threads: any.
 * Memory:  the caller's text, always ended by NUL; what does not fit is cut off.
 */
#ifndef SERVER_REASON_H
#define SERVER_REASON_H

#include <stddef.h>

/* format into text [text_bytes]; returns result, so that `return reason_give(...)` ends a function. */
__attribute__((format(printf, 4, 5))) int reason_give(char *text, size_t text_bytes, int result,
                                                      const char *format, ...);

#endif
