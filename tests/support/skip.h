/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * skip.h - ends a test that cannot run here, with one line of reason; never a silent pass.
 */
#ifndef TESTS_SUPPORT_SKIP_H
#define TESTS_SUPPORT_SKIP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after those, as it asks */
#include <cmocka.h>

#define SKIP_SANITIZERS_CALL "the sanitizers' run time makes system calls of its own"
#define SKIP_NOT_ROOT        "only root can become somebody else"

static inline void skip_if(bool is_hindered, const char *why)
{
    if (!is_hindered)
        return;
    print_message("skip: %s\n", why);
    skip();
}

#endif
