/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * source.h - where a VM's page comes from. One file a kind.
 *
 * Flow:    page_source_open: the kind's open and map, is it a page at all? -> swept; once a second
 *          page_source_check -> page_source_close. A memfd is made anew for every requester, so that an
 *          earlier one that still holds its page can disturb nobody; the others are pages that exist
 *          without us, whose slots are FREE because the hypervisor made them so.
 * Threads: control only. SIGBUS, when the memory behind a mapping goes: any (lost_page.h).
 * Memory:  the mapping belongs to the source until close; place and root outlive it.
 * Errors:  negative errno, and in reason one clause: what is wrong, where, and the remedy.
 */
#ifndef SERVER_SOURCES_SOURCE_H
#define SERVER_SOURCES_SOURCE_H

#include "config/config.h"
#include "pollers/notify_target.h"
#include "pollers/upcall.h"

#define SOURCE_REASON_BYTES 256u
#define SOURCE_PATH_BYTES   256u
#define SOURCE_ANY_NODE     (-1)

struct acrn_io_request;
struct lost_page;
struct page_source_kind;

struct page_source {
    const struct page_source_kind *kind; /* NULL: closed */
    struct acrn_io_request *slots;       /* mapped, 16 slots */
    int descriptor;                      /* memfd: what the requester is handed; -1: nothing */
    const struct config_place *place;    /* NULL for memfd */
    const int *handed; /* [2] while it is opened: device and page from a device model; NULL: none */
    const char *root;  /* in front of /sys and /dev; "" but in tests */
    void *mapping;     /* [mapping_bytes], slots lie in it; map's, unmapped by close */
    size_t mapping_bytes;
    struct lost_page *lost; /* NULL: its memory cannot go */
    int node;               /* NUMA, of the memory behind it; SOURCE_ANY_NODE */
    void *state;            /* the kind's own */
};

/* Each with a reason [SOURCE_REASON_BYTES] where it can fail. */
struct page_source_kind {
    const char *name; /* as in the configuration */
    bool is_ours;     /* the page is made by open, for a requester that is handed it */
    bool has_driver;  /* a kernel driver dispatches on it too: pollers/page_driver.h */
    int (*open)(struct page_source *source, char *reason);
    /* Sets slots, mapping and mapping_bytes. */
    int (*map)(struct page_source *source, char *reason);
    /* How arrival is told. -EOPNOTSUPP: not at all. NULL: the same. */
    int (*upcall)(struct page_source *source, struct upcall *upcall, char *reason);
    /* How that vCPU is told of COMPLETE. -EOPNOTSUPP: not at all. NULL: the same. */
    int (*notify)(struct page_source *source, uint32_t vcpu, struct notify_target *target,
                  char *reason);
    /* 0 while its device is there; negative errno otherwise. NULL: always there. */
    int (*check)(struct page_source *source, char *reason);
    /* After everything above, also after a failed open or map. */
    void (*close)(struct page_source *source);
};

extern const struct page_source_kind source_memfd, source_uio, source_pci, source_vfio, source_hsm;

/* Opens and maps. -ENODATA: a page of zeroes, so that nobody has registered it; -ENODEV: it reads
 * all-ones; what the kind says otherwise. The source is closed then. */
int page_source_open(struct page_source *source, const struct page_source_kind *kind,
                     const struct config_place *place, const char *root, char *reason);

/* The same with what a device model handed over, [2], which stays the caller's. */
int page_source_open_handed(struct page_source *source, const struct page_source_kind *kind,
                            const struct config_place *place, const int *handed, const char *root,
                            char *reason);

/* 0 while it can be served. */
int page_source_check(struct page_source *source, char *reason);

/* Of no effect when it is closed. */
void page_source_close(struct page_source *source);

/* The kind of that configuration. */
const struct page_source_kind *page_source_kind(enum config_source source);

/* For kinds: `format` into reason; returns result. */
__attribute__((format(printf, 3, 4))) int source_fail(int result, char *reason, const char *format,
                                                      ...);

/* For kinds' map: is there a whole page at place->offset_bytes of size_bytes? -ERANGE. */
int source_check_size(const struct page_source *source, uint64_t size_bytes, char *reason);

/* For kinds' map: maps bytes [offset_bytes + 4096] of descriptor from file_offset on, of which the last
 * 4096 are the page. */
int source_map_page(struct page_source *source, int descriptor, uint64_t file_offset,
                    uint64_t offset_bytes, char *reason);

/* memfd.c: the page of an earlier server's, as it stands. Takes descriptor, also on failure. -EINVAL: it
 * is no sealed page. */
int source_memfd_adopt(struct page_source *source, int descriptor);

#endif
