/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config/ioreqd.yaml against the tables that read it: it loads, it holds every key there is, and
 * the comment above a key tells the default the table has. A device that gains an option fails
 * here until the sample shows it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "config/config.h"
#include "config/document.h"
#include "config/print.h"
#include "pollers/placement.h"
#include "server/devices/device_options.h"
#include "server/threads/machine_facts.h"
#include "server/topology.h"

#include <stdlib.h>
#include <string.h>

#define SAMPLE    SOURCE_DIR "/config/ioreqd.yaml"
#define CAR       SOURCE_DIR "/config/car.yaml"
#define NODES_MAX 256

static struct input input;
static struct arena arena;
static const struct document_node *root;
static size_t key_count;

struct nodes {
    const struct document_node *nodes[NODES_MAX];
    size_t count;
};

/* A list stands for its elements. */
static void nodes_add(struct nodes *nodes, const struct document_node *node)
{
    bool is_list = node->kind == DOCUMENT_SEQUENCE;
    const struct document_node *element = is_list ? node->children : node;
    for (; element; element = is_list ? element->next : NULL) {
        assert_true(nodes->count < NODES_MAX);
        nodes->nodes[nodes->count++] = element;
    }
}

static void nodes_below(const struct nodes *from, const char *key, struct nodes *below)
{
    below->count = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct document_node *value = document_find(from->nodes[i], key);
        if (value)
            nodes_add(below, value);
    }
}

/* The options mappings of all clients of that kind. */
static void nodes_of_device(const char *kind, struct nodes *options)
{
    struct nodes clients = {0};
    nodes_add(&clients, document_find(root, "clients"));
    options->count = 0;
    for (size_t i = 0; i < clients.count; i++) {
        const struct document_node *device = document_find(clients.nodes[i], "device");
        const struct document_node *found = document_find(clients.nodes[i], "options");
        if (device && found && strcmp(device->text, kind) == 0)
            nodes_add(options, found);
    }
}

/* The mappings a section name stands for: "clients.ranges", "options of register_bank.registers" */
static void nodes_of_section(const char *section, struct nodes *nodes)
{
    static const char prefix[] = "options of ";
    char path[128];
    snprintf(path, sizeof(path), "%s", section);
    char *rest = path;
    *nodes = (struct nodes){.nodes = {root}, .count = 1};
    if (strncmp(path, prefix, strlen(prefix)) == 0) {
        rest = path + strlen(prefix);
        nodes_of_device(strsep(&rest, "."), nodes);
    }
    const char *step;
    while ((step = strsep(&rest, ".")) && *step) {
        struct nodes above = *nodes;
        nodes_below(&above, step, nodes);
    }
}

/* The text of the comment lines right above line, as one. */
static void comment_above(uint32_t line, char *comment, size_t comment_bytes)
{
    uint32_t first = line;
    comment[0] = '\0';
    while (first > 1) {
        size_t bytes;
        const char *text = input_line(&input, first - 1, &bytes);
        size_t blank = strspn(text, " ");
        if (blank >= bytes || text[blank] != '#')
            break;
        first--;
    }
    for (; first < line; first++) {
        size_t bytes;
        const char *text = input_line(&input, first, &bytes);
        size_t used = strlen(comment);
        snprintf(comment + used, comment_bytes - used, "%.*s\n", (int)bytes, text);
    }
}

/* Some comment above the key, where it stands, tells "default: ..." or "Required". */
static bool is_told(const struct nodes *nodes, const struct config_key *key)
{
    char told[160];
    if (key->required)
        snprintf(told, sizeof(told), "Required");
    else /* words behind a comma explain, they need not be repeated */
        snprintf(told, sizeof(told), "default: %.*s", (int)strcspn(key->default_text, ","),
                 key->default_text);
    for (size_t i = 0; i < nodes->count; i++) {
        const struct document_node *pair = nodes->nodes[i]->children;
        for (; pair; pair = pair->next->next) {
            char comment[2048];
            comment_above(pair->mark.line, comment, sizeof(comment));
            if (strcmp(pair->text, key->name) == 0 && strstr(comment, told))
                return true;
        }
    }
    return false;
}

static void expect_in_sample(const struct config_key *key, void *context)
{
    (void)context;
    struct nodes nodes;
    struct nodes values;
    nodes_of_section(key->section, &nodes);
    nodes_below(&nodes, key->name, &values);
    key_count++;
    if (nodes.count == 0)
        fail_msg("the sample has no section '%s'", key->section);
    bool stands = false;
    for (size_t i = 0; i < nodes.count; i++)
        stands = stands || document_find(nodes.nodes[i], key->name);
    if (!stands)
        fail_msg("the sample has no key '%s' in '%s'", key->name, key->section);
    bool is_section = *key->section == '\0'; /* explained in words */
    if (!is_section && !is_told(&nodes, key))
        fail_msg("the comment of '%s' in '%s' does not say: %s%s", key->name, key->section,
                 key->required ? "Required" : "default: ", key->required ? "" : key->default_text);
}

static void sample_holds_every_key_with_its_default(void **state)
{
    (void)state;
    char reason[160];
    assert_int_equal(input_read(&input, SAMPLE, reason, sizeof(reason)), 0);
    arena_init(&arena, (size_t)1 << 24);
    struct problems problems = {.path = SAMPLE, .input = &input, .arena = &arena, .stream = stderr};
    assert_int_equal(document_parse(&input, &arena, &problems, &root), 0);
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    assert_non_null(kinds);
    assert_int_equal(config_visit_keys(kinds, kind_count, expect_in_sample, NULL), 0);
    assert_true(key_count > 30);
    device_config_kinds_destroy(kinds);
    arena_fini(&arena);
    input_fini(&input);
}

static void sample_loads_and_describes_the_demo(void **state)
{
    (void)state;
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    assert_non_null(kinds);
    struct config *config;
    assert_int_equal(config_load(SAMPLE, kinds, kind_count, stderr, &config), 0);
    assert_int_equal(config->poller_count, 1);
    assert_string_equal(config->pollers[0].name, "rt");
    assert_int_equal(config->vm_count, 1);
    assert_string_equal(config->vms[0].name, "guest");
    assert_int_equal(config->vms[0].vcpus, 1);
    const struct config_client *fallback = &config->clients[config->vms[0].default_client];
    assert_string_equal(kinds[fallback->device].name, "fallback");
    static const char *const devices[] = {"debug_console", "cmos",     "uart",
                                          "uart",          "pci_host", "register_bank"};
    for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
        assert_string_equal(kinds[config->clients[i].device].name, devices[i]);
    config_destroy(config);
    device_config_kinds_destroy(kinds);
}

/* On the machine it describes: 8 CPUs, of which 2 to 7 are isolated. */
static void car_is_two_vms_that_do_not_meet(void **state)
{
    (void)state;
    const uint32_t isolated[] = {2, 3, 4, 5, 6, 7};
    const struct placement_source source = {
        .synthetic = "pack:1 l3:1 core:8 pu:1", .isolated = isolated, .isolated_count = 6};
    struct placement *placement;
    struct config *config;
    struct thread_plan *plan;
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    assert_non_null(kinds);
    char reason[PLACEMENT_REASON_BYTES];
    assert_int_equal(placement_open_source(&source, &placement, reason), 0);
    assert_int_equal(config_load(CAR, kinds, kind_count, stderr, &config), 0);
    const struct machine_facts facts = {.tsc_is_invariant = true};
    topology_check(config, placement, &facts);
    assert_int_equal(config->problem_count, 0);
    const struct config_vm *control = &config->vms[0], *cockpit = &config->vms[1];
    assert_int_equal(control->wait_after_ns, 0);
    assert_true(cockpit->wait_after_ns > 0);
    assert_int_not_equal(control->poller, cockpit->poller);
    for (size_t i = 0; i < config->client_count; i++)
        assert_int_equal(config->clients[i].poller, config->vms[config->clients[i].vm].poller);
    assert_int_equal(thread_plan_create(config, placement_machine(placement), &plan), 0);
    for (size_t i = 0; i < plan->count; i++)
        assert_string_equal(plan->seats[i].warning, "");
    assert_int_equal(plan->seats[control->poller].cpu, isolated[0]);
    assert_true(plan->notifier->cpu < isolated[0]);
    assert_true(plan->control->cpu < isolated[0]);
    thread_plan_destroy(plan);
    config_destroy(config);
    placement_close(placement);
    device_config_kinds_destroy(kinds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_loads_and_describes_the_demo),
        cmocka_unit_test(sample_holds_every_key_with_its_default),
        cmocka_unit_test(car_is_two_vms_that_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
