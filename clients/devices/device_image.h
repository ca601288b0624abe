/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_image.h - bytes of a device that outlive the process: the device's end of a small file.
 *
 * Flow:    device_image_create in create() reads the file -> device_image_store from handle() ->
 *          control sees the generation change and replaces the file -> device_image_destroy.
 * Threads: create, destroy: control. device_image_store: the poller the client lives on.
 * Memory:  the image and its path belong to the device, which destroys them together.
 * Errors:  a file of another size, of another type or without permission is refused with the
 *          remedy, and so is a folder that cannot be written; a missing file is an image of zeroes.
 */
#ifndef CLIENTS_DEVICES_DEVICE_IMAGE_H
#define CLIENTS_DEVICES_DEVICE_IMAGE_H

#include "clients/device.h"

#define DEVICE_IMAGE_BYTES_MAX 65536u

/*
 * The image of the file at `path`, given for `option`, of exactly size_bytes
 * (1..DEVICE_IMAGE_BYTES_MAX). *is_fresh: there was no file. 0, or a negative errno with
 * setup->error written.
 */
int device_image_create(const struct device_setup *setup, const char *option, const char *path,
                        size_t size_bytes, struct device_image **image, bool *is_fresh);
/* NULL is fine. */
void device_image_destroy(struct device_image *image);

uint8_t device_image_load(const struct device_image *image, size_t index);
/* Stores one byte and announces it; nothing happens if it is there already. Wait-free. */
void device_image_store(struct device_image *image, size_t index, uint8_t byte);

#endif
