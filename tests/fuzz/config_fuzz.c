/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a configuration file: no crash, no leak, and what is accepted keeps its promises.
 * Run: config_fuzz tests/fuzz/corpus/config
 */
#include "config/config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

static const char *const choices[] = {"slow", "fast", NULL};

static const struct config_option fields[] = {
    {.name = "name", .kind = CONFIG_OPTION_STRING, .required = true},
    {.name = "offset", .kind = CONFIG_OPTION_NUMBER, .maximum = 0xfff},
};

static const struct config_option options[] = {
    {.name = "level", .kind = CONFIG_OPTION_NUMBER, .default_text = "7", .maximum = 9},
    {.name = "memory", .kind = CONFIG_OPTION_SIZE, .default_text = "64MiB"},
    {.name = "loud", .kind = CONFIG_OPTION_BOOL},
    {.name = "label", .kind = CONFIG_OPTION_STRING},
    {.name = "mode", .kind = CONFIG_OPTION_CHOICE, .choices = choices},
    {.name = "output", .kind = CONFIG_OPTION_STREAM},
    {.name = "registers", .kind = CONFIG_OPTION_RECORDS, .fields = fields, .field_count = 2},
};

static const struct config_device_kind kinds[] = {
    {.name = "plain"},
    {.name = "every", .options = options, .option_count = sizeof(options) / sizeof(options[0])},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static void check_client(const struct config *config, const struct config_client *client)
{
    assert(client->vm < config->vm_count && client->poller < config->poller_count);
    assert(client->device < KIND_COUNT);
    assert(strlen(client->name) >= 1 && strlen(client->name) <= CONFIG_NAME_MAX);
    bool is_default = config->vms[client->vm].default_client == client - config->clients;
    assert(client->range_count > 0 || is_default);
    for (size_t i = 0; i < client->range_count; i++) {
        const struct config_range *range = &client->ranges[i];
        assert(range->first <= range->last && range->mark.line > 0);
        static const uint64_t lasts[] = {CONFIG_PORT_LAST, CONFIG_MMIO_LAST, CONFIG_PCICFG_LAST};
        assert(range->type <= CONFIG_RANGE_PCICFG && range->last <= lasts[range->type]);
        assert(range->priority <= CONFIG_PRIORITY_MAX);
        assert(!config->vms[client->vm].pci || !config_range_is_pci_port(range));
    }
    assert(client->broken_after <= CONFIG_BROKEN_AFTER_MAX);
    if (client->device == 1) {
        assert(client->values[0].number <= 9 && client->values[2].number <= 1);
        assert(client->values[3].string && client->values[4].number <= 1);
        assert(client->values[5].string[0] != '\0');
        for (size_t i = 0; i < client->values[6].record_count; i++)
            assert(client->values[6].records[i][1].number <= 0xfff);
    }
}

static void check_accepted(const struct config *config)
{
    assert(config->poller_count > 0 && config->vm_count > 0);
    for (size_t i = 0; i < config->vm_count; i++) {
        const struct config_vm *vm = &config->vms[i];
        assert(vm->vcpus >= 1 && vm->vcpus <= CONFIG_VCPUS_MAX);
        assert(vm->poller < config->poller_count);
        assert(vm->clear_timeout_ns >= 1000000 && vm->clear_timeout_ns <= UINT64_C(10000000000));
        assert(vm->default_client == CONFIG_NO_CLIENT ||
               config->clients[vm->default_client].vm == i);
    }
    for (size_t i = 0; i < config->client_count; i++)
        check_client(config, &config->clients[i]);
}

/* The same bytes as one VM and as one client. */
static void check_fragments(const uint8_t *bytes, size_t size_bytes, FILE *nowhere)
{
    static const char *const sections[] = {"vms", "clients"};
    static const char *const texts[] = {"a", "g"};
    const struct config_names names = {
        .pollers = texts, .poller_count = 2, .vms = texts, .vm_count = 2};
    for (size_t i = 0; i < 2; i++) {
        struct config *config;
        int error = config_load_fragment(sections[i], (const char *)bytes, size_bytes, &names,
                                         kinds, KIND_COUNT, nowhere, &config);
        assert(error == 0 || error == -EINVAL || error == -ENOMEM);
        assert((config != NULL) == (error != -ENOMEM));
        if (error == 0) {
            assert(config->vm_count == (i == 0) && config->client_count == (i == 1));
            assert(i == 1 || config->vms[0].poller < 2);
            assert(i == 0 || config->clients[0].vm < 2);
            assert(i == 0 || config->clients[0].poller < 2 ||
                   config->clients[0].poller == CONFIG_POLLER_OF_VM);
        }
        config_destroy(config);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes)
{
    static FILE *nowhere;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    struct config *config;
    int error =
        config_load_bytes("fuzz.yaml", bytes, size_bytes, kinds, KIND_COUNT, nowhere, &config);
    assert(error == 0 || error == -EINVAL || error == -ENOMEM);
    assert((config != NULL) == (error != -ENOMEM));
    if (error == 0)
        check_accepted(config);
    else if (config)
        assert(config->problem_count > 0);
    config_destroy(config);
    check_fragments(bytes, size_bytes, nowhere);
    return 0;
}
