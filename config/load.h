/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.h - one load of a configuration file, from its bytes to struct config. Inside config/ only.
 *
 * Flow:    input_read, input_check -> document_parse -> schema_read (tables.h) -> sections_build
 *          -> device_options_read, ranges_read, ranges_check. A fragment takes the same way with
 *          the table of its section and sections_build_vm or sections_build_client.
 * Threads: control thread.
 * Memory:  struct load owns everything struct config points to; config is its first member, so
 *          that config_report and config_destroy find the rest. Texts of the document that config
 *          keeps are copied (load_keep_text).
 * Errors:  problems go to `problems`; functions that return int give 0 or -ENOMEM.
 * Source:  none.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/config.h"
#include "config/schema.h"

/* Of both arenas together; twice what 65,536 ranges need. */
#define LOAD_MEMORY_BYTES_MAX ((size_t)128 << 20)

#define LOAD_NO_INDEX UINT32_MAX /* a reference that could not be resolved */

struct load {
    struct config config;
    struct arena arena;   /* what config and later reports need, for as long as they live */
    struct arena scratch; /* the document and its values, gone when the load ends: most of it */
    struct input input;
    struct problems problems;
    struct schema_context context;
    const struct config_device_kind *kinds;
    size_t kind_count;
    const struct schema_key *const *kind_keys; /* [kind_count], each [option_count] */
};

/* config_load_bytes with another memory limit, for tests of what happens when memory is short. */
int load_bytes(const char *name, const void *bytes, size_t size_bytes,
               const struct config_device_kind *kinds, size_t kind_count, FILE *report,
               size_t memory_bytes_max, struct config **config);

/* A copy of text, a schema value's, that lives as long as config; NULL stays NULL. */
const char *load_keep_text(struct load *load, const char *text);

/* sections.c: fills load->config from the values [FILE_ROWS] of the file's top level. */
int sections_build(struct load *load, const struct schema_value *values);

/* sections.c: the one VM or client of a fragment, from the values of its mapping `record`. */
int sections_build_vm(struct load *load, const struct schema_record *record,
                      const struct config_names *names);
int sections_build_client(struct load *load, const struct schema_record *record,
                          const struct config_names *names);

/* device_options.c: the kind's options as schema keys [option_count], or NULL. */
const struct schema_key *device_options_keys(struct arena *arena,
                                             const struct config_device_kind *kind);
/* device_options.c: the values of a client's options [option_count of its kind], or NULL. */
const struct config_value *device_options_read(struct load *load, uint32_t kind,
                                               const struct schema_value *options,
                                               struct config_mark client_mark);

/* place.c: where the page of a VM with these values [VM_ROWS] is; what does not go together with its
 * source is reported. */
void place_read(struct load *load, const struct schema_value *values, struct config_mark vm_mark,
                struct config_place *place);
/* start.c: how a client's process is started; what is wrong is reported. 0 or -ENOMEM. */
int start_read(struct load *load, const struct schema_value *value, struct config_client *client);
/* start.c: how its device interrupts; NONE, and reported, if that is wrong. */
void interrupt_read(struct load *load, const struct schema_value *value,
                    struct config_client_interrupt *interrupt);
/* start.c: what a client or a VM may take; mark: where it stands. */
int budget_read(struct load *load, const struct schema_value *value, struct config_budget *budget);

/* hsm.c: of a VM with these values [VM_ROWS], what only source hsm has; after place_read. What does not go
 * together is reported. */
void hsm_read(struct load *load, const struct schema_value *values, struct config_vm *vm);

/* ranges.c: the ranges of one client; those that are wrong are reported and left out. */
int ranges_read(struct load *load, const struct schema_value *value, struct config_client *client);
/* ranges.c: count, overlaps and reserved ports of the ranges of VM `index`, which is vm, or NULL in
 * a fragment. O(n log n). */
int ranges_check(struct load *load, uint32_t index, const struct config_vm *vm);

#endif
