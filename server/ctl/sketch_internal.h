/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sketch_internal.h - boxes in character cells: what sketch.c lays out and sketch_print.c draws.
 *
 * Memory:  struct sketch owns its boxes.
 */
#ifndef SERVER_CTL_SKETCH_INTERNAL_H
#define SERVER_CTL_SKETCH_INTERNAL_H

#include "server/ctl/sketch.h"

#define SKETCH_TITLE_BYTES 96u

enum sketch_style {
    SKETCH_BOX_PACKAGE = 1, /* with a frame, and a title in it */
    SKETCH_BOX_CACHE,
    SKETCH_BOX_CORE,
    SKETCH_CPU_FREE, /* one line without a frame */
    SKETCH_CPU_FORBIDDEN,
    SKETCH_CPU_VCPU,
    SKETCH_CPU_HOUSEKEEPING,
    SKETCH_CPU_POLLER,
    SKETCH_CPU_CROWDED, /* a poller or a vCPU, and somebody else */
};

struct sketch_box {
    uint32_t x, y, width, height; /* cells */
    enum sketch_style style;
    bool is_isolated;
    char title[SKETCH_TITLE_BYTES];
};

struct sketch {
    struct sketch_box *boxes; /* [count], outer ones before inner ones */
    size_t count;
    size_t capacity;
    uint32_t width, height;
    char offline[PLACEMENT_LIST_BYTES]; /* "": none */
};

static inline bool sketch_is_framed(const struct sketch_box *box)
{
    return box->style <= SKETCH_BOX_CORE;
}

#endif
