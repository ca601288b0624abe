/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/devices.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* In the order in which lists and manuals show them. */
const struct device_ops *const device_kinds[] = {
    &device_cmos,          &device_debug_console, &device_example,
    &device_fallback,      &device_pci_host,      &device_process,
    &device_register_bank, &device_uart,          NULL,
};

const struct device_ops *device_kind_find(const char *name)
{
    for (size_t i = 0; device_kinds[i]; i++) {
        if (strcmp(device_kinds[i]->name, name) == 0)
            return device_kinds[i];
    }
    return NULL;
}

int device_refuse(const struct device_setup *setup, int error, const char *format, ...)
{
    assert(error > 0);
    if (setup->error && setup->error_bytes > 0) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(setup->error, setup->error_bytes, format, arguments);
        va_end(arguments);
    }
    return -error;
}
