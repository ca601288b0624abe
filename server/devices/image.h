/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h - keeps a device's image (clients/device.h) in its file.
 *
 * Flow:    image_save_if_changed every second and at the end. The file is replaced whole (written
 *          beside it, synced, renamed): a crash leaves the old or the new one.
 * Threads: control.
 * Errors:  negative errno; the image stays changed, so the next call tries again. -EEXIST: what
 *          stands at PATH.new is no regular file, and is left alone.
 */
#ifndef SERVER_DEVICES_IMAGE_H
#define SERVER_DEVICES_IMAGE_H

#include "clients/device.h"

/* *saved: the generation in the file; starts at 0, as the image's does when loaded. */
int image_save_if_changed(const struct device_image *image, uint64_t *saved);

#endif
