/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.h - every device kind that is built in. A new one: its file in this folder, a line here,
 * a line in devices.c.
 */
#ifndef CLIENTS_DEVICES_DEVICES_H
#define CLIENTS_DEVICES_DEVICES_H

#include "clients/device.h"

extern const struct device_ops device_cmos;
extern const struct device_ops device_debug_console;
extern const struct device_ops device_example;
extern const struct device_ops device_fallback;
extern const struct device_ops device_pci_host;
extern const struct device_ops device_process;
extern const struct device_ops device_register_bank;
extern const struct device_ops device_uart;

#endif
