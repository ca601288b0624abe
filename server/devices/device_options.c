/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/device_options.h"

#include "pollers/pci_ports.h"
#include "pollers/router.h"

#include <stdlib.h>

_Static_assert((int)DEVICE_OPTION_NUMBER == (int)CONFIG_OPTION_NUMBER, "same order");
_Static_assert((int)DEVICE_OPTION_SIZE == (int)CONFIG_OPTION_SIZE, "same order");
_Static_assert((int)DEVICE_OPTION_BOOL == (int)CONFIG_OPTION_BOOL, "same order");
_Static_assert((int)DEVICE_OPTION_STRING == (int)CONFIG_OPTION_STRING, "same order");
_Static_assert((int)DEVICE_OPTION_CHOICE == (int)CONFIG_OPTION_CHOICE, "same order");
_Static_assert((int)DEVICE_OPTION_STREAM == (int)CONFIG_OPTION_STREAM, "same order");
_Static_assert((int)DEVICE_OPTION_RECORDS == (int)CONFIG_OPTION_RECORDS, "same order");
_Static_assert((int)REQUEST_PORTIO == (int)CONFIG_RANGE_PORTIO, "same order");
_Static_assert((int)REQUEST_MMIO == (int)CONFIG_RANGE_MMIO, "same order");
_Static_assert((int)REQUEST_PCICFG == (int)CONFIG_RANGE_PCICFG, "same order");
_Static_assert(CONFIG_VM_RANGES_MAX == ROUTER_RANGES_MAX, "a full file fits the router");
_Static_assert(CONFIG_PCI_PORT_FIRST == PCI_PORT_ADDRESS, "same ports");
_Static_assert(CONFIG_PCI_PORT_LAST == PCI_PORT_DATA_LAST, "same ports");

static void options_destroy(const struct config_option *options, size_t count)
{
    for (size_t i = 0; options && i < count; i++)
        options_destroy(options[i].fields, options[i].field_count);
    free((void *)(uintptr_t)options);
}

/* NULL only without memory: an empty table is an array of one unused entry. */
static struct config_option *options_convert(const struct device_option *options, size_t count)
{
    struct config_option *converted = calloc(count + 1, sizeof(*converted));
    if (!converted)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        converted[i] = (struct config_option){
            .name = options[i].name,
            .kind = (enum config_option_kind)options[i].kind,
            .required = options[i].required,
            .default_text = options[i].default_text,
            .minimum = options[i].minimum,
            .maximum = options[i].maximum,
            .choices = options[i].choices,
            .field_count = options[i].field_count,
            .help = options[i].help,
        };
        if (options[i].kind != DEVICE_OPTION_RECORDS)
            continue;
        converted[i].fields = options_convert(options[i].fields, options[i].field_count);
        if (!converted[i].fields) {
            options_destroy(converted, i);
            return NULL;
        }
    }
    return converted;
}

struct config_device_kind *device_config_kinds(size_t *count)
{
    *count = 0;
    while (device_kinds[*count])
        (*count)++;
    struct config_device_kind *kinds = calloc(*count + 1, sizeof(*kinds));
    if (!kinds)
        return NULL;
    for (size_t i = 0; i < *count; i++) {
        const struct device_ops *ops = device_kinds[i];
        kinds[i] = (struct config_device_kind){
            .name = ops->name,
            .summary = ops->summary,
            .options = options_convert(ops->options, ops->option_count),
            .option_count = ops->option_count,
        };
        if (!kinds[i].options) {
            device_config_kinds_destroy(kinds);
            return NULL;
        }
    }
    return kinds;
}

void device_config_kinds_destroy(struct config_device_kind *kinds)
{
    for (size_t i = 0; kinds && kinds[i].name; i++)
        options_destroy(kinds[i].options, kinds[i].option_count);
    free(kinds);
}

static void record_list_destroy(const struct device_value *value)
{
    for (size_t i = 0; value->records && i < value->record_count; i++)
        free((void *)(uintptr_t)value->records[i]);
    free((void *)(uintptr_t)value->records);
}

static struct device_value value_convert(const struct config_value *value)
{
    return (struct device_value){.number = value->number, .string = value->string};
}

static bool records_convert(const struct device_option *option, const struct config_value *from,
                            struct device_value *to)
{
    const struct device_value **records = calloc(from->record_count + 1, sizeof(*records));
    if (!records)
        return false;
    to->records = records;
    to->record_count = from->record_count;
    for (size_t i = 0; i < from->record_count; i++) {
        struct device_value *fields = calloc(option->field_count + 1, sizeof(*fields));
        if (!fields)
            return false;
        for (size_t k = 0; k < option->field_count; k++)
            fields[k] = value_convert(&from->records[i][k]);
        records[i] = fields;
    }
    return true;
}

struct device_value *device_values(const struct device_ops *ops, const struct config_value *values)
{
    struct device_value *converted = calloc(ops->option_count + 1, sizeof(*converted));
    if (!converted)
        return NULL;
    for (size_t i = 0; i < ops->option_count; i++) {
        converted[i] = value_convert(&values[i]);
        if (ops->options[i].kind == DEVICE_OPTION_RECORDS &&
            !records_convert(&ops->options[i], &values[i], &converted[i])) {
            device_values_destroy(ops, converted);
            return NULL;
        }
    }
    return converted;
}

void device_values_destroy(const struct device_ops *ops, struct device_value *values)
{
    for (size_t i = 0; values && i < ops->option_count; i++)
        record_list_destroy(&values[i]);
    free(values);
}
