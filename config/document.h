/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * document.h - one YAML document as a tree with marks. document.c alone uses libyaml.
 *
 * Flow:    checked input -> libyaml's events -> nodes.
 * Threads: one thread.
 * Memory:  nodes and texts from the arena; libyaml's own memory is given back before returning.
 * Errors:  the first thing that is no plain YAML ends it, reported with its place: a parser cannot
 *          go on behind a syntax error. Anchors, aliases, tags and further documents are refused,
 *          so the tree is never larger than the text says.
 * Source:  YAML 1.1, http://yaml.org/spec/1.1; libyaml 0.2.5, yaml.h.
 */
#ifndef CONFIG_DOCUMENT_H
#define CONFIG_DOCUMENT_H

#include "config/arena.h"
#include "config/config.h"
#include "config/input.h"
#include "config/problems.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 65,536 ranges are 9 nodes each: a mapping, four keys, four values. */
#define DOCUMENT_NODES_MAX (10u * CONFIG_VM_RANGES_MAX)

enum document_kind { DOCUMENT_SCALAR = 1, DOCUMENT_SEQUENCE, DOCUMENT_MAPPING };

struct document_node {
    enum document_kind kind;
    bool quoted; /* SCALAR: in quotes, or a block (| or >) */
    struct config_mark mark;
    const char *text; /* SCALAR: NUL-terminated; \0 escapes may put NULs inside */
    size_t text_bytes;
    const struct document_node *children; /* MAPPING: key, value, key, value ... */
    const struct document_node *next;     /* in the parent's children */
    size_t child_count;
};

/* *root is NULL for a file without content. 0, -EINVAL (reported) or -ENOMEM. */
int document_parse(const struct input *input, struct arena *arena, struct problems *problems,
                   const struct document_node **root);

/* The value of key in mapping (the first, where it stands twice), or NULL. */
const struct document_node *document_find(const struct document_node *mapping, const char *key);

#endif
