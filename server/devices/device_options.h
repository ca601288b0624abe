/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_options.h - carries the devices' option tables to config/ and the values back, since
 * neither folder may know the other.
 *
 * Threads: control.
 * Memory:  the caller frees what is returned.
 * Errors:  NULL: no memory.
 */
#ifndef SERVER_DEVICES_DEVICE_OPTIONS_H
#define SERVER_DEVICES_DEVICE_OPTIONS_H

#include "clients/device.h"
#include "config/config.h"

/* Every entry of device_kinds as config/ wants it, in the same order. */
struct config_device_kind *device_config_kinds(size_t *count);
void device_config_kinds_destroy(struct config_device_kind *kinds);

/* The values of one client for its device's create(); strings stay config's. */
struct device_value *device_values(const struct device_ops *ops, const struct config_value *values);
void device_values_destroy(const struct device_ops *ops, struct device_value *values);

#endif
