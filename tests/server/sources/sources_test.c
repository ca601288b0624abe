/* SPDX-License-Identifier: BSD-3-Clause */
/* Page sources on an invented /sys and /dev: what is wrong is told with its remedy, what is right is
 * mapped, and nothing is left open. */
#include "tests/support/descriptors.h"
#include "tests/support/tree.h"

#include "server/sources/lost_page.h"
#include "server/sources/source.h"
#include "server/sources/vfio_group.h"

#include <errno.h>

static struct tree tree;
static struct page_source source;
static char reason[SOURCE_REASON_BYTES];

static int begin(void **state)
{
    (void)state;
    tree_create(&tree);
    return 0;
}

static int end(void **state)
{
    (void)state;
    page_source_close(&source);
    tree_destroy(&tree);
    return 0;
}

static int open_source(const struct page_source_kind *kind, const struct config_place *place)
{
    reason[0] = '\0';
    return page_source_open(&source, kind, place, tree.root, reason);
}

/* Refused, with that in the reason; nothing stays open or mapped. */
static void refuses(const struct page_source_kind *kind, struct config_place place, int result,
                    const char *expected)
{
    uint32_t descriptors = descriptors_count(getpid());
    assert_int_equal(open_source(kind, &place), result);
    if (!strstr(reason, expected))
        fail_msg("expected '%s' in '%s'", expected, reason);
    assert_null(source.kind);
    assert_null(source.slots);
    assert_int_equal(descriptors_count(getpid()), descriptors);
}

static const struct config_place pci_place = {.device = TREE_BDF, .map = 2};
static const struct config_place uio_place = {.device = "acrn-page"};

/* ---- pci --------------------------------------------------------------------------------- */

static void pci_tells_what_is_not_there(void **state)
{
    (void)state;
    refuses(&source_pci, pci_place, -ENODEV, "there is no PCI device 0000:00:05.0; lspci -D");
    tree_pci_device(&tree);
    refuses(&source_pci, pci_place, -ENOENT, "0000:00:05.0 has no resource 2; expected the number");
}

static void pci_wants_a_whole_page(void **state)
{
    (void)state;
    tree_pci_device(&tree);
    tree_page(&tree, TREE_PCI "/resource2", 256, 0);
    refuses(&source_pci, pci_place, -ERANGE,
            "map 2 of 0000:00:05.0 has 256 bytes, no whole page at offset 0x0; expected 4096");
    tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    refuses(&source_pci, (struct config_place){.device = TREE_BDF, .map = 2, .offset_bytes = 8192},
            -ERANGE, "no whole page at offset 0x2000");
    refuses(&source_pci,
            (struct config_place){.device = TREE_BDF, .map = 2, .offset_bytes = UINT64_MAX - 4095},
            -ERANGE, "no whole page at offset 0xfffffffffffff000");
}

static void pci_wants_a_registered_page(void **state)
{
    (void)state;
    tree_pci_device(&tree);
    struct acrn_io_request *slots = tree_page(&tree, TREE_PCI "/resource2", 4096, 0);
    memset(slots, 0, PAGE_BYTES);
    refuses(&source_pci, pci_place, -ENODATA,
            "the page of 0000:00:05.0 is not initialised (all zero); register it");
    memset(slots, 0xff, PAGE_BYTES);
    refuses(&source_pci, pci_place, -ENODEV, "reads all-ones: the device is switched off or gone");
    slots_free_all(slots);
    slots[15].processed = 4;
    refuses(&source_pci, pci_place, -EPROTO, "a slot's state is none of the four");
}

static void pci_serves_a_page_as_it_is(void **state)
{
    (void)state;
    uint32_t descriptors = descriptors_count(getpid());
    tree_pci_device(&tree);
    struct acrn_io_request *slots = tree_page(&tree, TREE_PCI "/resource2", 3 * 4096, 8192);
    slots[3].processed = SLOT_PENDING;
    struct config_place place = {.device = TREE_BDF, .map = 2, .offset_bytes = 8192};
    assert_int_equal(open_source(&source_pci, &place), 0);
    assert_int_equal(slots[3].processed, SLOT_PENDING); /* its, not ours to free */
    source.slots[3].processed = SLOT_COMPLETE;
    assert_int_equal(slots[3].processed, SLOT_COMPLETE);
    assert_int_equal(source.descriptor, -1);
    assert_int_equal(source.node, SOURCE_ANY_NODE);
    assert_int_equal(page_source_check(&source, reason), 0);
    page_source_close(&source);
    assert_int_equal(descriptors_count(getpid()), descriptors);
    assert_int_equal(slots[3].processed, SLOT_COMPLETE);
}

static void pci_switches_its_memory_on(void **state)
{
    (void)state;
    tree_pci_device(&tree);
    static const uint8_t off[64] = {0xf4, 0x1a};
    tree_bytes(&tree, TREE_PCI "/config", off, sizeof(off));
    tree_page(&tree, TREE_PCI "/resource2", 4096, 0);
    refuses(&source_pci, pci_place, -ENOENT, "0000:00:05.0 cannot be switched on: ");
    tree_text(&tree, TREE_PCI "/enable", "0");
    assert_int_equal(open_source(&source_pci, &pci_place), 0);
    char text[2] = "";
    int descriptor = open(tree_path(&tree, TREE_PCI "/enable"), O_RDONLY);
    assert_int_equal(read(descriptor, text, 1), 1);
    close(descriptor);
    assert_string_equal(text, "1");
}

static void pci_knows_its_node_and_its_end(void **state)
{
    (void)state;
    tree_pci_device(&tree);
    tree_text(&tree, TREE_PCI "/numa_node", "1\n");
    struct acrn_io_request *slots = tree_page(&tree, TREE_PCI "/resource2", 4096, 0);
    assert_int_equal(open_source(&source_pci, &pci_place), 0);
    assert_int_equal(source.node, 1);
    memset(slots, 0xff, PAGE_BYTES);
    assert_int_equal(page_source_check(&source, reason), -ENODEV);
    assert_non_null(strstr(reason, "its page reads all-ones: 0000:00:05.0 is switched off"));
    slots_free_all(slots);
    tree_remove(&tree, TREE_PCI);
    assert_int_equal(page_source_check(&source, reason), -ENODEV);
    assert_string_equal(reason, "the PCI device 0000:00:05.0 was removed");
}

static void pci_rings_a_doorbell(void **state)
{
    (void)state;
    struct config_place place = pci_place;
    struct notify_target target;
    tree_pci_device(&tree);
    tree_page(&tree, TREE_PCI "/resource2", 4096, 0);
    assert_int_equal(open_source(&source_pci, &place), 0);
    assert_int_equal(source.kind->notify(&source, 0, &target, reason), -EOPNOTSUPP);
    page_source_close(&source);
    place.notify_by = CONFIG_NOTIFY_BY_DOORBELL;
    place.notify_offset_bytes = 12;
    place.notify_value = 0x10000;
    place.notify_step = 1;
    assert_int_equal(open_source(&source_pci, &place), 0);
    assert_int_equal(source.kind->notify(&source, 0, &target, reason), -ENOENT);
    assert_non_null(strstr(reason, "0000:00:05.0: its doorbell, "));
    tree_page(&tree, TREE_PCI "/resource0", 8, 0);
    assert_int_equal(source.kind->notify(&source, 0, &target, reason), -ERANGE);
    assert_non_null(strstr(reason, "map 0, has 8 bytes; expected a notify_offset below that"));
    struct acrn_io_request *registers = tree_page(&tree, TREE_PCI "/resource0", 4096, 0);
    assert_int_equal(source.kind->notify(&source, 3, &target, reason), 0);
    assert_int_equal(target.kind, NOTIFY_DOORBELL);
    assert_int_equal(target.value, 0x10003);
    *target.address = target.value;
    assert_int_equal(((volatile uint32_t *)(void *)registers)[3], 0x10003);
    assert_null(source.kind->upcall);
}

/* ---- uio --------------------------------------------------------------------------------- */

static void uio_is_found_by_its_name(void **state)
{
    (void)state;
    refuses(&source_uio, uio_place, -ENODEV, "there is no UIO device acrn-page; load or bind");
    tree_uio_device(&tree, 0, "other\n", "0x1000\n", "0x0\n");
    refuses(&source_uio, uio_place, -ENODEV, "there is no UIO device acrn-page");
    tree_uio_device(&tree, 12, "acrn-page\n", "0x1000\n", "0x0\n");
    refuses(&source_uio, uio_place, -ENOENT, "/dev/uio12: No such file or directory");
    tree_page(&tree, "/dev/uio12", 4096, 0);
    assert_int_equal(open_source(&source_uio, &uio_place), 0);
    page_source_close(&source);
    tree_uio_device(&tree, 3, "acrn-page\n", "0x1000\n", "0x0\n");
    refuses(&source_uio, uio_place, -ENOTUNIQ,
            "2 UIO devices are called acrn-page; expected the address of its PCI device instead");
}

static void uio_is_found_by_its_pci_device(void **state)
{
    (void)state;
    const struct config_place place = {.device = TREE_BDF};
    refuses(&source_uio, place, -ENODEV, "the PCI device 0000:00:05.0 has no UIO driver; bind one");
    tree_uio_device(&tree, 7, "uio_pci_generic\n", "0x1000\n", "0x0\n");
    tree_text(&tree, TREE_PCI "/uio/uio7/name", "uio_pci_generic\n");
    tree_page(&tree, "/dev/uio7", 4096, 0);
    assert_int_equal(open_source(&source_uio, &place), 0);
}

static void uio_wants_a_map_with_a_whole_page(void **state)
{
    (void)state;
    tree_uio_device(&tree, 0, "acrn-page\n", "0x800\n", "0x0\n");
    tree_page(&tree, "/dev/uio0", 4096, 0);
    refuses(&source_uio, uio_place, -ERANGE, "map 0 of acrn-page has 2048 bytes, no whole page");
    refuses(&source_uio, (struct config_place){.device = "acrn-page", .map = 1}, -ENOENT,
            "acrn-page (uio0) has no map 1; see /sys/class/uio/uio0/maps");
    tree_uio_device(&tree, 0, "acrn-page\n", "0x3000\n", "0x100\n");
    refuses(&source_uio, uio_place, -EINVAL,
            "map 0 of acrn-page begins at byte 0x100 of its first page");
    tree_uio_device(&tree, 0, "acrn-page\n", "many\n", "0x0\n");
    refuses(&source_uio, uio_place, -EINVAL, "has no map 0");
}

/* Map m is at byte m * 4096 of the device, whatever its own first byte is. */
static void uio_maps_by_map_and_offset(void **state)
{
    (void)state;
    tree_uio_device(&tree, 0, "acrn-page\n", "0x1000\n", "0x0\n");
    tree_text(&tree, "/sys/class/uio/uio0/maps/map1/size", "0x10000\n");
    tree_text(&tree, "/sys/class/uio/uio0/maps/map1/offset", "0x0\n");
    struct acrn_io_request *slots = tree_page(&tree, "/dev/uio0", 65536, 4096 + 8192);
    const struct config_place place = {.device = "acrn-page", .map = 1, .offset_bytes = 8192};
    assert_int_equal(open_source(&source_uio, &place), 0);
    source.slots[1].processed = SLOT_COMPLETE;
    assert_int_equal(slots[1].processed, SLOT_COMPLETE);
}

static void uio_interrupts_are_let_in_again(void **state)
{
    (void)state;
    tree_uio_device(&tree, 0, "acrn-page\n", "0x1000\n", "0x0\n");
    tree_page(&tree, "/dev/uio0", 4096, 0);
    struct config_place place = uio_place;
    struct upcall upcall;
    assert_int_equal(open_source(&source_uio, &place), 0);
    assert_int_equal(source.kind->upcall(&source, &upcall, reason), -EOPNOTSUPP);
    place.interrupt = CONFIG_INTERRUPT_PLAIN;
    assert_int_equal(source.kind->upcall(&source, &upcall, reason), 0);
    assert_int_equal(upcall.read_bytes, 4);
    assert_int_equal(upcall.rearm_bytes, 0);
    place.interrupt = CONFIG_INTERRUPT_WRITE;
    assert_int_equal(source.kind->upcall(&source, &upcall, reason), 0);
    assert_int_equal(upcall.rearm_descriptor, upcall.descriptor);
    assert_int_equal(upcall.rearm_bytes, 4);
    assert_int_equal(upcall.rearm_value, 1);
    page_source_close(&source);
    place.interrupt = CONFIG_INTERRUPT_PCI;
    tree_page(&tree, "/dev/uio0", 4096, 0);
    refuses(&source_uio, place, -ENOENT, "interrupt: pci needs a PCI device");
    static const uint8_t config[64] = {0xf4, 0x1a, 0x10, 0x11, 0x03, 0x04};
    tree_bytes(&tree, "/sys/class/uio/uio0/device/config", config, sizeof(config));
    assert_int_equal(open_source(&source_uio, &place), 0);
    assert_int_equal(source.kind->upcall(&source, &upcall, reason), 0);
    assert_int_equal(upcall.rearm_bytes, 2);
    assert_int_equal(upcall.rearm_value, 0x3); /* bit 10 was set */
    assert_int_equal(upcall.rearm_offset, 4);
    uint16_t command;
    assert_int_equal(pread(upcall.rearm_descriptor, &command, 2, 4), 2);
    assert_int_equal(command, 0x3); /* it is let in from the start */
}

static void uio_notifies_by_a_write_or_a_doorbell(void **state)
{
    (void)state;
    tree_uio_device(&tree, 0, "acrn-page\n", "0x1000\n", "0x0\n");
    tree_text(&tree, "/sys/class/uio/uio0/maps/map1/size", "0x100\n");
    tree_text(&tree, "/sys/class/uio/uio0/maps/map1/offset", "0x40\n");
    struct acrn_io_request *registers = tree_page(&tree, "/dev/uio0", 8192, 4096);
    tree_page(&tree, "/dev/uio0", 8192, 0);
    (void)registers;
    struct config_place place = uio_place;
    place.notify_by = CONFIG_NOTIFY_BY_CONTROL;
    place.notify_value = 7;
    place.notify_step = 2;
    struct notify_target target;
    assert_int_equal(open_source(&source_uio, &place), 0);
    assert_int_equal(source.kind->notify(&source, 2, &target, reason), 0);
    assert_int_equal(target.kind, NOTIFY_CONTROL);
    assert_int_equal(target.value, 11);
    assert_true(target.descriptor >= 0);
    place.notify_by = CONFIG_NOTIFY_BY_DOORBELL;
    place.notify_map = 1;
    place.notify_offset_bytes = 0x100;
    assert_int_equal(source.kind->notify(&source, 0, &target, reason), -ERANGE);
    place.notify_offset_bytes = 12;
    assert_int_equal(source.kind->notify(&source, 0, &target, reason), 0);
    *target.address = 0x12345678;
    uint32_t value;
    int descriptor = open(tree_path(&tree, "/dev/uio0"), O_RDONLY);
    assert_int_equal(pread(descriptor, &value, 4, 4096 + 0x40 + 12), 4);
    close(descriptor);
    assert_int_equal(value, 0x12345678);
}

static void uio_knows_its_end(void **state)
{
    (void)state;
    tree_uio_device(&tree, 0, "acrn-page\n", "0x1000\n", "0x0\n");
    tree_page(&tree, "/dev/uio0", 4096, 0);
    assert_int_equal(open_source(&source_uio, &uio_place), 0);
    assert_int_equal(page_source_check(&source, reason), 0);
    tree_remove(&tree, "/sys/class/uio/uio0");
    assert_int_equal(page_source_check(&source, reason), -ENODEV);
    assert_string_equal(reason, "the UIO device acrn-page was removed");
}

/* ---- vfio -------------------------------------------------------------------------------- */

static const struct config_place vfio_place = {.device = TREE_BDF, .map = 2};

static void vfio_tells_what_is_not_set_up(void **state)
{
    (void)state;
    refuses(&source_vfio, vfio_place, -ENODEV, "there is no PCI device 0000:00:05.0");
    tree_pci_device(&tree);
    refuses(&source_vfio, vfio_place, -ENXIO,
            "0000:00:05.0 is in no IOMMU group; switch the IOMMU on (intel_iommu=on");
    tree_link(&tree, TREE_PCI "/iommu_group", "../../../../kernel/iommu_groups/9");
    refuses(&source_vfio, vfio_place, -EBUSY,
            "0000:00:05.0 is bound to no driver; expected vfio-pci");
    tree_link(&tree, TREE_PCI "/driver", "../../../../bus/pci/drivers/ivshmem");
    refuses(&source_vfio, vfio_place, -EBUSY,
            "0000:00:05.0 is bound to ivshmem; expected vfio-pci");
    tree_remove(&tree, TREE_PCI "/driver");
    tree_link(&tree, TREE_PCI "/driver", "../../../../bus/pci/drivers/vfio-pci");
    refuses(&source_vfio, vfio_place, -ENOENT,
            "/dev/vfio/vfio: No such file or directory; load the "
            "module vfio");
    tree_text(&tree, "/dev/vfio/vfio", "");
    refuses(&source_vfio, vfio_place, -EOPNOTSUPP,
            "no type 1 version 2 IOMMU; load the module "
            "vfio_iommu_type1");
}

static void vfio_names_who_blocks_a_group(void **state)
{
    (void)state;
    char text[128];
    static const struct {
        const char *device, *driver;
    } members[] = {{"0000:00:05.0", "vfio-pci"},
                   {"0000:00:06.0", "e1000e"},
                   {"0000:00:1c.0", "pcieport"},
                   {"0000:00:07.0", "pci-stub"}};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        char path[128], target[128];
        snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/9/devices/%s/driver",
                 members[i].device);
        snprintf(target, sizeof(target), "../../drivers/%s", members[i].driver);
        tree_link(&tree, path, target);
    }
    tree_text(&tree, "/sys/kernel/iommu_groups/9/devices/0000:00:08.0/vendor", "0x1af4\n");
    assert_int_equal(vfio_group_blockers(tree.root, "9", text, sizeof(text)), 1);
    assert_string_equal(text, "0000:00:06.0 (e1000e)");
    char cut[12];
    assert_int_equal(vfio_group_blockers(tree.root, "9", cut, sizeof(cut)), 1);
    assert_string_equal(cut, "0000:00:06.");
    assert_int_equal(vfio_group_blockers(tree.root, "10", text, sizeof(text)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pci_tells_what_is_not_there, begin, end),
        cmocka_unit_test_setup_teardown(pci_wants_a_whole_page, begin, end),
        cmocka_unit_test_setup_teardown(pci_wants_a_registered_page, begin, end),
        cmocka_unit_test_setup_teardown(pci_serves_a_page_as_it_is, begin, end),
        cmocka_unit_test_setup_teardown(pci_switches_its_memory_on, begin, end),
        cmocka_unit_test_setup_teardown(pci_knows_its_node_and_its_end, begin, end),
        cmocka_unit_test_setup_teardown(pci_rings_a_doorbell, begin, end),
        cmocka_unit_test_setup_teardown(uio_is_found_by_its_name, begin, end),
        cmocka_unit_test_setup_teardown(uio_is_found_by_its_pci_device, begin, end),
        cmocka_unit_test_setup_teardown(uio_wants_a_map_with_a_whole_page, begin, end),
        cmocka_unit_test_setup_teardown(uio_maps_by_map_and_offset, begin, end),
        cmocka_unit_test_setup_teardown(uio_interrupts_are_let_in_again, begin, end),
        cmocka_unit_test_setup_teardown(uio_notifies_by_a_write_or_a_doorbell, begin, end),
        cmocka_unit_test_setup_teardown(uio_knows_its_end, begin, end),
        cmocka_unit_test_setup_teardown(vfio_tells_what_is_not_set_up, begin, end),
        cmocka_unit_test_setup_teardown(vfio_names_who_blocks_a_group, begin, end),
    };
    /* Its memory file and its handler are there for good: they are no leak of a test's. */
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    lost_page_unwatch(lost_page_watch(page));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
