/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/reason.h"

#include <stdarg.h>
#include <stdio.h>

int reason_give(char *text, size_t text_bytes, int result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, text_bytes, format, arguments);
    va_end(arguments);
    return result;
}
