/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Registers by configuration: names, offsets, sizes, reset values and masks, no behaviour of
 * their own. Stands in for a block whose driver only wants its registers to be there.
 *
 * The registers become a flat, little-endian image with one set of masks per byte, so an access of
 * any size and position may cover part of a register or several. Bytes that belong to no register
 * read 0xff and drop writes. Of a register byte, with data written to it:
 *
 *   read   = value & read_mask
 *   write:   value = (value & ~write_mask) | (data & write_mask), then
 *            value &= ~(data & write_one_clears); a bit in both masks only clears
 */
#include "clients/devices/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BANK_BYTES_MAX      ((uint64_t)1 << 20)
#define REGISTER_COUNT_MAX  4096u
#define REGISTER_SIZE_COUNT 4u

enum { OPTION_REGISTERS, OPTION_COUNT };
enum {
    FIELD_NAME,
    FIELD_OFFSET,
    FIELD_SIZE,
    FIELD_RESET,
    FIELD_WRITE_MASK,
    FIELD_READ_MASK,
    FIELD_WRITE_ONE_CLEARS,
    FIELD_COUNT_OF_REGISTERS,
    FIELD_COUNT
};

/* Its index is log2 of the size. */
static const char *const register_sizes[REGISTER_SIZE_COUNT + 1] = {"1", "2", "4", "8", NULL};

static const struct device_option register_fields[FIELD_COUNT] = {
    [FIELD_NAME] = {.name = "name",
                    .kind = DEVICE_OPTION_STRING,
                    .required = true,
                    .help = "how messages call the register; unique in its bank"},
    [FIELD_OFFSET] = {.name = "offset",
                      .kind = DEVICE_OPTION_NUMBER,
                      .required = true,
                      .maximum = BANK_BYTES_MAX - 1,
                      .help = "bytes from the first address of the client's range"},
    [FIELD_SIZE] = {.name = "size",
                    .kind = DEVICE_OPTION_CHOICE,
                    .required = true,
                    .choices = register_sizes,
                    .help = "bytes"},
    [FIELD_RESET] = {.name = "reset",
                     .kind = DEVICE_OPTION_NUMBER,
                     .default_text = "0",
                     .maximum = UINT64_MAX,
                     .help = "value after reset"},
    [FIELD_WRITE_MASK] = {.name = "write_mask",
                          .kind = DEVICE_OPTION_NUMBER,
                          .default_text = "0xffffffffffffffff",
                          .maximum = UINT64_MAX,
                          .help =
                              "bits a write changes; all 64 bits set means all of the register"},
    [FIELD_READ_MASK] = {.name = "read_mask",
                         .kind = DEVICE_OPTION_NUMBER,
                         .default_text = "0xffffffffffffffff",
                         .maximum = UINT64_MAX,
                         .help = "bits a read shows, others read 0; default as for write_mask"},
    [FIELD_WRITE_ONE_CLEARS] = {.name = "write_one_clears",
                                .kind = DEVICE_OPTION_NUMBER,
                                .default_text = "0",
                                .maximum = UINT64_MAX,
                                .help = "bits that writing 1 clears, as in interrupt status"},
    [FIELD_COUNT_OF_REGISTERS] = {.name = "count",
                                  .kind = DEVICE_OPTION_NUMBER,
                                  .default_text = "1",
                                  .minimum = 1,
                                  .maximum = BANK_BYTES_MAX,
                                  .help = "that many such registers, one after the other"},
};

static const struct device_option register_bank_options[OPTION_COUNT] = {
    [OPTION_REGISTERS] = {.name = "registers",
                          .kind = DEVICE_OPTION_RECORDS,
                          .required = true,
                          .fields = register_fields,
                          .field_count = FIELD_COUNT,
                          .help = "the registers; addresses between them read all-ones"},
};

/* One byte per address of the range in each array; all in one allocation after the struct. */
struct register_bank {
    struct device device;
    uint64_t size_bytes;
    uint8_t *value;
    uint8_t *at_reset;
    uint8_t *read_mask;
    uint8_t *write_mask;
    uint8_t *clear_mask;
    uint8_t arrays[];
};
#define ARRAY_COUNT 5u

/* A register as configured, with the defaults of its masks cut to its size. */
struct register_entry {
    const char *name;
    uint64_t offset;
    uint64_t size_bytes;
    uint64_t count;
    uint64_t reset;
    uint64_t read_mask;
    uint64_t write_mask;
    uint64_t clear_mask;
};

static struct register_bank *bank_allocate(uint64_t size_bytes)
{
    struct register_bank *bank = calloc(1, sizeof(*bank) + ARRAY_COUNT * size_bytes);
    if (!bank)
        return NULL;
    bank->device.ops = &device_register_bank;
    bank->size_bytes = size_bytes;
    bank->value = bank->arrays;
    bank->at_reset = bank->value + size_bytes;
    bank->read_mask = bank->at_reset + size_bytes;
    bank->write_mask = bank->read_mask + size_bytes;
    bank->clear_mask = bank->write_mask + size_bytes;
    /* A gap is a register of ones that no write changes: handle() needs no case for it. */
    memset(bank->at_reset, 0xff, size_bytes);
    memset(bank->read_mask, 0xff, size_bytes);
    return bank;
}

/* Reads a record; refuses what does not fit into the register or the register into the bank. */
static int register_entry_read(const struct device_setup *setup, const struct device_value *fields,
                               uint64_t bank_bytes, struct register_entry *entry)
{
    uint64_t size_bytes = (uint64_t)1 << fields[FIELD_SIZE].number;
    uint64_t ones = request_ones((uint32_t)size_bytes);
    static const int value_fields[] = {FIELD_RESET, FIELD_WRITE_MASK, FIELD_READ_MASK,
                                       FIELD_WRITE_ONE_CLEARS};
    const char *name = fields[FIELD_NAME].string;
    if (!name || !*name) {
        return device_refuse(setup, EINVAL,
                             "registers: the one at offset 0x%" PRIx64
                             " has an empty name: give it one",
                             fields[FIELD_OFFSET].number);
    }
    for (size_t i = 0; i < sizeof(value_fields) / sizeof(value_fields[0]); i++) {
        uint64_t value = fields[value_fields[i]].number;
        bool is_mask = value_fields[i] == FIELD_WRITE_MASK || value_fields[i] == FIELD_READ_MASK;
        if (value > ones && !(is_mask && value == UINT64_MAX)) {
            return device_refuse(setup, EINVAL,
                                 "registers: '%s': %s 0x%" PRIx64
                                 " does not fit into its size of %" PRIu64 " bytes",
                                 name, register_fields[value_fields[i]].name, value, size_bytes);
        }
    }
    *entry = (struct register_entry){
        .name = name,
        .offset = fields[FIELD_OFFSET].number,
        .size_bytes = size_bytes,
        .count = fields[FIELD_COUNT_OF_REGISTERS].number,
        .reset = fields[FIELD_RESET].number,
        .read_mask = fields[FIELD_READ_MASK].number & ones,
        .clear_mask = fields[FIELD_WRITE_ONE_CLEARS].number,
    };
    entry->write_mask = fields[FIELD_WRITE_MASK].number & ones & ~entry->clear_mask;
    if (entry->offset >= bank_bytes || entry->count > (bank_bytes - entry->offset) / size_bytes) {
        return device_refuse(setup, EINVAL,
                             "registers: '%s' at offset 0x%" PRIx64 ", %" PRIu64 " x %" PRIu64
                             " bytes, leaves the range of 0x%" PRIx64
                             " bytes: move it or widen the client's range",
                             name, entry->offset, entry->count, size_bytes, bank_bytes);
    }
    return 0;
}

/* owners: per byte of the bank 0 or 1 + index of the record that took it. */
static int register_entry_place(const struct device_setup *setup, struct register_bank *bank,
                                const struct register_entry *entry, size_t index, uint16_t *owners)
{
    const struct device_value *registers = &setup->values[OPTION_REGISTERS];
    for (uint64_t i = 0; i < entry->count * entry->size_bytes; i++) {
        uint64_t at = entry->offset + i;
        uint32_t shift = 8 * (uint32_t)(i % entry->size_bytes);
        if (owners[at] != 0) {
            const struct device_value *other = registers->records[owners[at] - 1];
            return device_refuse(setup, EINVAL,
                                 "registers: '%s' and '%s' overlap at offset 0x%" PRIx64
                                 ": move one of them",
                                 other[FIELD_NAME].string, entry->name, at);
        }
        owners[at] = (uint16_t)(index + 1);
        bank->at_reset[at] = (uint8_t)(entry->reset >> shift);
        bank->read_mask[at] = (uint8_t)(entry->read_mask >> shift);
        bank->write_mask[at] = (uint8_t)(entry->write_mask >> shift);
        bank->clear_mask[at] = (uint8_t)(entry->clear_mask >> shift);
    }
    return 0;
}

static int names_check_unique(const struct device_setup *setup, size_t index)
{
    const struct device_value *registers = &setup->values[OPTION_REGISTERS];
    const char *name = registers->records[index][FIELD_NAME].string;
    for (size_t i = 0; i < index; i++) {
        const struct device_value *other = registers->records[i];
        if (strcmp(other[FIELD_NAME].string, name) == 0) {
            return device_refuse(setup, EINVAL,
                                 "registers: two are named '%s', at offsets 0x%" PRIx64
                                 " and 0x%" PRIx64 ": rename one",
                                 name, other[FIELD_OFFSET].number,
                                 registers->records[index][FIELD_OFFSET].number);
        }
    }
    return 0;
}

static int registers_place(const struct device_setup *setup, struct register_bank *bank)
{
    uint16_t *owners = calloc(bank->size_bytes, sizeof(*owners));
    if (!owners)
        return device_refuse(setup, ENOMEM, "no memory for the registers");
    const struct device_value *registers = &setup->values[OPTION_REGISTERS];
    int rc = 0;
    for (size_t i = 0; i < registers->record_count && rc == 0; i++) {
        struct register_entry entry = {0};
        rc = register_entry_read(setup, registers->records[i], bank->size_bytes, &entry);
        if (rc == 0)
            rc = names_check_unique(setup, i);
        if (rc == 0)
            rc = register_entry_place(setup, bank, &entry, i, owners);
    }
    free(owners);
    return rc;
}

static int register_bank_create(const struct device_setup *setup, struct device **device)
{
    size_t record_count = setup->values[OPTION_REGISTERS].record_count;
    if (setup->range_count != 1) {
        return device_refuse(setup, EINVAL,
                             "ranges: a register bank needs exactly one, not %zu: use one client "
                             "per range",
                             setup->range_count);
    }
    uint64_t span = setup->ranges[0].last - setup->ranges[0].first; /* size - 1: cannot wrap */
    if (span >= BANK_BYTES_MAX)
        return device_refuse(setup, EINVAL, "ranges: a register bank has at most 1 MiB");
    if (record_count == 0 || record_count > REGISTER_COUNT_MAX) {
        return device_refuse(setup, EINVAL, "registers: give 1 to %u of them, not %zu",
                             REGISTER_COUNT_MAX, record_count);
    }
    struct register_bank *bank = bank_allocate(span + 1);
    if (!bank)
        return device_refuse(setup, ENOMEM, "no memory for the registers");
    int rc = registers_place(setup, bank);
    if (rc < 0) {
        free(bank);
        return rc;
    }
    memcpy(bank->value, bank->at_reset,
           bank->size_bytes); /* touches the memory here, not on a poller */
    *device = &bank->device;
    return 0;
}

static void register_bank_reset(struct device *device)
{
    struct register_bank *bank = (struct register_bank *)device;
    memcpy(bank->value, bank->at_reset, bank->size_bytes);
}

static int register_bank_handle(struct device *device, struct request *request)
{
    struct register_bank *bank = (struct register_bank *)device;
    uint32_t size_bytes = request->size_bytes;
    uint64_t first = request->offset;
    if (request->range_index == REQUEST_NO_RANGE || first >= bank->size_bytes ||
        size_bytes > bank->size_bytes - first)
        return -ENXIO;
    if (request_is_read(request)) {
        uint64_t answer = 0;
        for (uint32_t i = 0; i < size_bytes; i++)
            answer |= (uint64_t)(bank->value[first + i] & bank->read_mask[first + i]) << (8 * i);
        request->value = answer;
        return 0;
    }
    for (uint32_t i = 0; i < size_bytes; i++) {
        uint64_t at = first + i;
        uint8_t data = (uint8_t)(request->value >> (8 * i));
        uint8_t mask = bank->write_mask[at];
        uint8_t value = (uint8_t)((bank->value[at] & ~mask) | (data & mask));
        bank->value[at] = (uint8_t)(value & ~(data & bank->clear_mask[at]));
    }
    return 0;
}

static void register_bank_destroy(struct device *device)
{
    free(device);
}

const struct device_ops device_register_bank = {
    .name = "register_bank",
    .summary = "named registers with reset values and masks",
    .options = register_bank_options,
    .option_count = OPTION_COUNT,
    .create = register_bank_create,
    .reset = register_bank_reset,
    .handle = register_bank_handle,
    .is_prompt = true,
    .destroy = register_bank_destroy,
};
