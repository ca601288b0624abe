/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CMOS RAM with real-time clock, MC146818-compatible, as at ports 0x70/0x71 of a PC.
 *
 *   offset 0  index, write-only as on the PC/AT: reads 0xff. Bit 7 (NMI mask) is dropped: there is
 *             no NMI line here.
 *   offset 1  the byte at that index
 *
 * A two-byte access at offset 0 is index and data in one, low byte first.
 *
 *   0x00..0x0d, 0x32  clock (rtc.h)
 *   0x15..0x18, 0x30, 0x31, 0x34, 0x35, 0x5b..0x5d
 *                     memory size by `memory`, as PC firmware expects it; read-only
 *   others            NVRAM; kept in the file `nvram` if that is given, with the alarm bytes
 */
#include "clients/devices/device_image.h"
#include "clients/devices/devices.h"
#include "clients/devices/rtc.h"

#include <errno.h>
#include <stdlib.h>

#define CMOS_BYTES     128u
#define PORT_COUNT     2u
#define NMI_MASK       0x80u
#define KIB            UINT64_C(1024)
#define MIB            (1024 * KIB)
#define GIB            (1024 * MIB)
#define TIB            (1024 * GIB)
#define LOW_MEMORY_MAX (3 * GIB) /* above lies the PCI hole; RAM goes on at 4 GiB */

enum { OPTION_MEMORY, OPTION_NVRAM, OPTION_COUNT };

static const struct device_option cmos_options[OPTION_COUNT] = {
    [OPTION_MEMORY] = {.name = "memory",
                       .kind = DEVICE_OPTION_SIZE,
                       .default_text = "64MiB",
                       .minimum = MIB,
                       .maximum = TIB,
                       .help = "RAM of the VM as firmware is told; must be what the VM has"},
    [OPTION_NVRAM] = {.name = "nvram",
                      .kind = DEVICE_OPTION_STRING,
                      .default_text = "",
                      .help = "file of 128 bytes that keeps NVRAM; written on change; empty: none"},
};

struct cmos {
    struct device device;
    struct rtc rtc;
    uint8_t index;
    uint8_t bytes[CMOS_BYTES];
    bool is_fixed[CMOS_BYTES]; /* by the configuration: a guest cannot change it */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void fixed_store(struct cmos *cmos, uint32_t index, uint64_t value, uint32_t size_bytes)
{
    for (uint32_t i = 0; i < size_bytes; i++) {
        cmos->bytes[index + i] = (uint8_t)(value >> (8 * i));
        cmos->is_fixed[index + i] = true;
    }
}

static void memory_size_store(struct cmos *cmos, uint64_t memory_bytes)
{
    uint64_t low = smaller(memory_bytes, LOW_MEMORY_MAX);
    uint64_t high = memory_bytes - low;
    uint64_t extended_kib = smaller((low - MIB) / KIB, UINT16_MAX);
    uint64_t above_16m = low > 16 * MIB ? (low - 16 * MIB) / (64 * KIB) : 0;
    fixed_store(cmos, 0x15, 640, 2); /* KiB below 1 MiB */
    fixed_store(cmos, 0x17, extended_kib, 2);
    fixed_store(cmos, 0x30, extended_kib, 2);
    fixed_store(cmos, 0x34, above_16m, 2);         /* 64-KiB units */
    fixed_store(cmos, 0x5b, high / (64 * KIB), 3); /* 64-KiB units above 4 GiB */
}

static bool is_alarm(uint32_t index)
{
    return index == RTC_SECONDS_ALARM || index == RTC_MINUTES_ALARM || index == RTC_HOURS_ALARM;
}

static bool is_kept(const struct cmos *cmos, uint32_t index)
{
    return is_alarm(index) || (!rtc_owns(index) && !cmos->is_fixed[index]);
}

static int nvram_open(const struct device_setup *setup, struct cmos *cmos)
{
    const char *path = setup->values[OPTION_NVRAM].string;
    if (!path || !*path)
        return 0;
    bool is_fresh;
    int rc = device_image_create(setup, "nvram", path, CMOS_BYTES, &cmos->device.image, &is_fresh);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < CMOS_BYTES && !is_fresh; i++) {
        if (is_alarm(i)) {
            rtc_write(&cmos->rtc, i, device_image_load(cmos->device.image, i), setup->start_ticks);
        } else if (is_kept(cmos, i)) {
            cmos->bytes[i] = device_image_load(cmos->device.image, i);
        }
    }
    return 0;
}

static int cmos_create(const struct device_setup *setup, struct device **device)
{
    uint64_t memory_bytes = setup->values[OPTION_MEMORY].number;
    if (setup->range_count != 1 ||
        setup->ranges[0].last - setup->ranges[0].first != PORT_COUNT - 1) {
        return device_refuse(setup, EINVAL,
                             "ranges: the CMOS needs exactly one, of 2 addresses: ports "
                             "0x70..0x71 on a PC");
    }
    if (setup->ticks_per_second < RTC_TICKS_PER_SECOND_MIN) {
        return device_refuse(setup, EINVAL,
                             "the time-stamp counter runs at %llu Hz, the clock needs 1 MHz: use a "
                             "machine with an invariant TSC",
                             (unsigned long long)setup->ticks_per_second);
    }
    if (memory_bytes < MIB || memory_bytes > TIB)
        return device_refuse(setup, EINVAL, "memory: give 1MiB to 1024GiB");
    struct cmos *cmos = calloc(1, sizeof(*cmos));
    if (!cmos)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    cmos->device.ops = &device_cmos;
    rtc_init(&cmos->rtc, setup->ticks_per_second, setup->start_ticks, setup->wall_clock_s);
    memory_size_store(cmos, memory_bytes);
    int rc = nvram_open(setup, cmos);
    if (rc < 0) {
        free(cmos);
        return rc;
    }
    *device = &cmos->device;
    return 0;
}

/* As the clock's interrupt pin; relaxed: control's next look sees it. */
static void set_line(struct cmos *cmos)
{
    device_set_line(&cmos->device, rtc_interrupts(&cmos->rtc));
    atomic_store_explicit(&cmos->device.line.is_clocked, rtc_may_interrupt(&cmos->rtc),
                          memory_order_relaxed);
}

static void cmos_reset(struct device *device)
{
    struct cmos *cmos = (struct cmos *)device;
    cmos->index = 0;
    rtc_reset(&cmos->rtc);
    set_line(cmos);
}

static uint8_t data_read(struct cmos *cmos, uint64_t ticks)
{
    if (rtc_owns(cmos->index))
        return rtc_read(&cmos->rtc, cmos->index, ticks);
    return cmos->bytes[cmos->index];
}

static void data_write(struct cmos *cmos, uint8_t byte, uint64_t ticks)
{
    uint32_t index = cmos->index;
    if (rtc_owns(index)) {
        rtc_write(&cmos->rtc, index, byte, ticks);
    } else if (!cmos->is_fixed[index]) {
        cmos->bytes[index] = byte;
    }
    if (cmos->device.image && is_kept(cmos, index))
        device_image_store(cmos->device.image, index, byte);
}

static int cmos_handle(struct device *device, struct request *request)
{
    struct cmos *cmos = (struct cmos *)device;
    if (request->range_index == REQUEST_NO_RANGE || request->offset >= PORT_COUNT)
        return -ENXIO;
    uint64_t answer = 0;
    for (uint32_t i = 0; i < request->size_bytes; i++) {
        uint64_t port = request->offset + i;
        uint8_t byte = (uint8_t)(request->value >> (8 * i));
        if (request_is_read(request)) {
            uint8_t read = port == 1 ? data_read(cmos, request->arrival_ticks) : 0xff;
            answer |= (uint64_t)read << (8 * i);
        } else if (port == 0) {
            cmos->index = byte & (uint8_t)~NMI_MASK;
        } else if (port == 1) {
            data_write(cmos, byte, request->arrival_ticks);
        }
    }
    if (request_is_read(request))
        request->value = answer;
    set_line(cmos);
    return 0;
}

static void cmos_tend(struct device *device, uint64_t ticks)
{
    struct cmos *cmos = (struct cmos *)device;
    rtc_tend(&cmos->rtc, ticks);
    set_line(cmos);
}

static void cmos_destroy(struct device *device)
{
    device_image_destroy(device->image);
    free(device);
}

const struct device_ops device_cmos = {
    .name = "cmos",
    .summary = "CMOS RAM and real-time clock: time, memory size, NVRAM",
    .options = cmos_options,
    .option_count = OPTION_COUNT,
    .create = cmos_create,
    .reset = cmos_reset,
    .handle = cmos_handle,
    .is_prompt = true,
    .tend = cmos_tend,
    .destroy = cmos_destroy,
};
