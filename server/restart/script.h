/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * script.h - what was made at run time, as the lines that made it, in a memory file that a keeper
 * (keeper.h) holds while nobody runs. What a line means is remake.h's.
 *
 * Flow:    script_open of what an earlier ioreqd left, or script_create -> script_add, script_remove,
 *          as often as needed -> script_close.
 *
 *              8 bytes   which half is in use and where it ends, with a check
 *              2 halves  lines, each with a check of its own; 0: removed
 *
 *          A line is written behind the end, then the end is moved, by one store; a line is removed by one
 *          store. A half that is full is written anew, without what was removed, into the other one. A
 *          death between any two stores leaves what was or what is to be.
 * Threads: control.
 * Memory:  a memfd, of as many pages as it has lines; a copy of each line.
 * Errors:  a script that was damaged is refused as a whole, with the reason: nothing in it is believed.
 */
#ifndef SERVER_RESTART_SCRIPT_H
#define SERVER_RESTART_SCRIPT_H

#include "clients/client.h"

#include <stddef.h>
#include <stdint.h>

#define SCRIPT_HALF_BYTES      (8u * 1024u * 1024u) /* 65,536 ranges that came one by one fit */
#define SCRIPT_TEXT_MAX        16384u
#define SCRIPT_DESCRIPTORS_MAX 48u /* of KEEPER_MAX: the rest is for pages */

/* Of which VM and client it is; "" where it is of none. */
struct script_line {
    char vm[CLIENT_NAME_MAX + 1], client[CLIENT_NAME_MAX + 1];
    uint32_t number; /* of a descriptor that goes with it; 0: none */
    const char *text;
};

struct script;

/* -EMFILE, -ENOMEM. */
int script_create(struct script **script);

/* Takes descriptor, also on failure. -EBADMSG, and why in reason [reason_bytes]. */
int script_open(int descriptor, struct script **script, char *reason, size_t reason_bytes);

/* The file goes with the keeper's descriptor. NULL does nothing. */
void script_close(struct script *script);

int script_descriptor(const struct script *script);

/* Oldest first; valid until the next add or remove. */
size_t script_count(const struct script *script);
const struct script_line *script_at(const struct script *script, size_t index);

/* Copies line. -ENOSPC: too many. -EMSGSIZE: text is longer than SCRIPT_TEXT_MAX. -ENOMEM, -EIO. */
int script_add(struct script *script, const struct script_line *line);

/* Those behind it move up by one. */
void script_remove(struct script *script, size_t index);

#endif
