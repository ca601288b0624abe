/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/load.h"

#include "config/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct config_mark file_begin = {.line = 1, .column = 1};

static struct load *load_create(const char *path, const struct config_device_kind *kinds,
                                size_t kind_count, FILE *stream, size_t memory_bytes_max)
{
    struct load *load = calloc(1, sizeof(*load));
    if (!load)
        return NULL;
    arena_init(&load->arena, memory_bytes_max);
    arena_init(&load->scratch, memory_bytes_max);
    load->arena.beside = &load->scratch;
    load->scratch.beside = &load->arena;
    load->problems.path = arena_copy_text(&load->arena, path, strlen(path));
    if (!load->problems.path) {
        arena_fini(&load->arena);
        free(load);
        return NULL;
    }
    load->problems.arena = &load->arena;
    load->problems.stream = stream;
    load->context = (struct schema_context){.arena = &load->scratch, .problems = &load->problems};
    load->config.path = load->problems.path;
    load->config.report = stream;
    load->kinds = kinds;
    load->kind_count = kind_count;
    return load;
}

static void load_destroy(struct load *load)
{
    input_fini(&load->input);
    arena_fini(&load->scratch);
    arena_fini(&load->arena);
    free(load);
}

const char *load_keep_text(struct load *load, const char *text)
{
    return text ? arena_copy_text(&load->arena, text, strlen(text)) : NULL;
}

static int prepare_kinds(struct load *load)
{
    const struct schema_key **keys = arena_alloc(&load->scratch, load->kind_count, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    for (size_t i = 0; i < load->kind_count; i++) {
        keys[i] = device_options_keys(&load->scratch, &load->kinds[i]);
        if (!keys[i])
            return -ENOMEM;
    }
    load->kind_keys = keys;
    return 0;
}

/* One VM or client instead of a file. */
struct fragment {
    enum file_row section;
    const struct config_names *names;
};

static int build_file(struct load *load, const struct document_node *root)
{
    const struct schema_value *values =
        schema_read(&load->context, "the file", file_keys, FILE_ROWS, root, root->mark);
    return values ? sections_build(load, values) : -ENOMEM;
}

static int build_fragment(struct load *load, const struct document_node *root,
                          const struct fragment *fragment)
{
    const struct schema_key *section = &file_keys[fragment->section];
    struct schema_record record = {
        .mark = root->mark,
        .values = schema_read(&load->context, section->name, section->fields, section->field_count,
                              root, root->mark),
    };
    if (!record.values)
        return -ENOMEM;
    return fragment->section == FILE_VMS ? sections_build_vm(load, &record, fragment->names)
                                         : sections_build_client(load, &record, fragment->names);
}

/* fragment NULL: a file. 0 also when problems were reported: they are counted. */
static int load_input(struct load *load, const struct fragment *fragment)
{
    struct config_mark mark;
    char problem[120];
    load->problems.input = &load->input;
    if (!input_check(&load->input, &mark, problem, sizeof(problem))) {
        problems_add(&load->problems, mark, "%s", problem);
        return 0;
    }
    const struct document_node *root;
    int error = document_parse(&load->input, &load->scratch, &load->problems, &root);
    if (error)
        return error == -EINVAL ? 0 : error;
    if (!root || root->kind != DOCUMENT_MAPPING) {
        const char *nothing = fragment ? "no content" : "the file has no content";
        problems_add(&load->problems, root ? root->mark : file_begin,
                     "%s; expected a mapping with the %s", root ? "no mapping" : nothing,
                     fragment ? "key name" : "keys pollers and vms");
        return 0;
    }
    error = prepare_kinds(load);
    if (error)
        return error;
    return fragment ? build_fragment(load, root, fragment) : build_file(load, root);
}

static bool mark_is_before(struct config_mark one, struct config_mark other)
{
    return one.line != other.line ? one.line < other.line : one.column < other.column;
}

/* A client is sound if no problem lies between its mark and the next one's. */
static void find_sound_clients(struct load *load)
{
    const struct problems *problems = &load->problems;
    struct config_client *clients = (struct config_client *)(uintptr_t)load->config.clients;
    size_t client_count = load->config.client_count;
    for (size_t i = 0; i < client_count; i++) {
        struct config_mark end =
            i + 1 < client_count ? clients[i + 1].mark : (struct config_mark){.line = UINT32_MAX};
        clients[i].is_sound = problems->count == problems->kept_count;
        for (size_t k = 0; k < problems->kept_count && clients[i].is_sound; k++)
            clients[i].is_sound = mark_is_before(problems->kept[k].mark, clients[i].mark) ||
                                  !mark_is_before(problems->kept[k].mark, end);
    }
}

/* Hands *config over, or destroys load. */
static int load_finish(struct load *load, int error, struct config **config)
{
    if (load->arena.failed || load->scratch.failed)
        error = -ENOMEM;
    arena_fini(&load->scratch);
    find_sound_clients(load);
    problems_flush(&load->problems);
    if (error) {
        problems_print_file(&load->problems, "no memory left for it (at most %zu MiB are used)",
                            load->arena.limit_bytes >> 20);
        load_destroy(load);
        return error;
    }
    load->config.problem_count = load->problems.count;
    *config = &load->config;
    return load->problems.count > 0 ? -EINVAL : 0;
}

static int load_too_large(struct load *load, struct config **config)
{
    problems_add(&load->problems, file_begin, "the file is too large; expected at most %u MiB",
                 CONFIG_FILE_BYTES_MAX >> 20);
    return load_finish(load, 0, config);
}

int config_load(const char *path, const struct config_device_kind *kinds, size_t kind_count,
                FILE *report, struct config **config)
{
    *config = NULL;
    struct load *load = load_create(path, kinds, kind_count, report, LOAD_MEMORY_BYTES_MAX);
    if (!load)
        return -ENOMEM;
    char reason[160];
    int error = input_read(&load->input, path, reason, sizeof(reason));
    if (error == -EFBIG)
        return load_too_large(load, config);
    if (error) {
        problems_print_file(&load->problems, "%s", reason);
        load_destroy(load);
        return error;
    }
    return load_finish(load, load_input(load, NULL), config);
}

int load_bytes(const char *name, const void *bytes, size_t size_bytes,
               const struct config_device_kind *kinds, size_t kind_count, FILE *report,
               size_t memory_bytes_max, struct config **config)
{
    *config = NULL;
    struct load *load = load_create(name, kinds, kind_count, report, memory_bytes_max);
    if (!load)
        return -ENOMEM;
    int error = input_take(&load->input, bytes, size_bytes);
    if (error == -EFBIG)
        return load_too_large(load, config);
    return load_finish(load, error ? error : load_input(load, NULL), config);
}

int config_load_fragment(const char *section, const char *text, size_t size_bytes,
                         const struct config_names *names, const struct config_device_kind *kinds,
                         size_t kind_count, FILE *report, struct config **config)
{
    bool is_vm = strcmp(section, file_keys[FILE_VMS].name) == 0;
    bool is_client = strcmp(section, file_keys[FILE_CLIENTS].name) == 0;
    struct fragment fragment = {.section = is_vm ? FILE_VMS : FILE_CLIENTS, .names = names};
    *config = NULL;
    struct load *load = load_create("<command>", kinds, kind_count, report, LOAD_MEMORY_BYTES_MAX);
    if (!load)
        return -ENOMEM;
    if (!is_vm && !is_client) {
        struct quote quote = quote_text(section, strlen(section));
        problems_add(&load->problems, (struct config_mark){0},
                     "%s cannot be created at run time; expected vms or clients", quote.text);
        return load_finish(load, 0, config);
    }
    int error = input_take(&load->input, text, size_bytes);
    if (error == -EFBIG)
        return load_too_large(load, config);
    return load_finish(load, error ? error : load_input(load, &fragment), config);
}

int config_load_bytes(const char *name, const void *bytes, size_t size_bytes,
                      const struct config_device_kind *kinds, size_t kind_count, FILE *report,
                      struct config **config)
{
    return load_bytes(name, bytes, size_bytes, kinds, kind_count, report, LOAD_MEMORY_BYTES_MAX,
                      config);
}

void config_report(struct config *config, struct config_mark mark, const char *format, ...)
{
    struct load *load = (struct load *)config; /* its first member */
    va_list arguments;
    va_start(arguments, format);
    problems_print(&load->problems, mark, format, arguments);
    va_end(arguments);
    config->problem_count = load->problems.count;
}

void config_destroy(struct config *config)
{
    if (config)
        load_destroy((struct load *)config);
}
