/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for pollers: where the kernel says it lies, that all of it is there, and that the thread's
 * policy is what it was. Machines with more nodes are invented. */
#include "pollers/memory.h"

#include "tests/support/chosen_cpu.h"
#include "tests/support/guest.h"

#include "pollers/placement.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>

#define PAGE       4096u
#define TIMEOUT_NS 20000000000ull

static void each_page_must_lie_on_the_wanted_node(void **state)
{
    (void)state;
    const struct {
        int statuses[4];
        size_t count;
        int node;
        bool expected;
        int found;
    } cases[] = {
        {{1, 0, 0, 0}, 4, 0, false, 1},
        {{0, 0, 0, 3}, 4, 0, false, 3},
        {{0, 0, 0, 0}, 4, 1, false, 0},
        {{0, -ENOENT, 0, 0}, 4, 0, false, MEMORY_ANY_NODE},
        {{-EFAULT, 1, 0, 0}, 2, 0, false, MEMORY_ANY_NODE},
        {{0, 0, 1, 1}, 2, 0, true, -7},
        {{5, 5, 5, 5}, 4, 5, true, -7},
        {{0, 1, 2, -ENOENT}, 4, MEMORY_ANY_NODE, true, -7},
        {{1, 1, 1, 1}, 0, 0, true, -7},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int found = -7;
        assert_int_equal(
            memory_compare_nodes(cases[i].statuses, cases[i].count, cases[i].node, &found),
            cases[i].expected);
        assert_int_equal(found, cases[i].found);
    }
}

/* The node of this thread's memory, or a skip. */
static int own_node(void)
{
    int node = memory_node_of_cpu(0);
    if (node != MEMORY_ANY_NODE)
        return node;
    print_message("skip: this kernel does not tell NUMA nodes\n");
    skip();
    return MEMORY_ANY_NODE;
}

static void allocated_memory_is_zero_present_and_on_its_node(void **state)
{
    (void)state;
    int node = own_node(), found = -7;
    struct memory_block block = {.size_bytes = 300 * PAGE + 1};
    char *memory = memory_allocate(block.size_bytes, node);
    assert_non_null(memory);
    block.memory = memory;
    for (size_t i = 0; i < block.size_bytes; i++)
        assert_int_equal(memory[i], 0);
    assert_true(memory_check_node(block, node, &found));
    /* Wanted elsewhere, it is found where it is. */
    assert_false(memory_check_node(block, node + 1, &found));
    assert_int_equal(found, node);
    assert_true(memory_check_node(block, MEMORY_ANY_NODE, &found));
    memory_free(memory, block.size_bytes);
}

static void the_last_page_of_many_is_looked_at_too(void **state)
{
    (void)state;
    int node = own_node(), found = -7;
    const size_t pages = 200;
    char *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    for (size_t i = 0; i < pages - 1; i++)
        memory[i * PAGE] = 1;
    assert_false(memory_check_node((struct memory_block){memory, pages * PAGE}, node, &found));
    assert_int_equal(found, MEMORY_ANY_NODE);
    /* From the middle of its first page to the first byte of its last but one. */
    struct memory_block block = {memory + PAGE / 2, (pages - 2) * PAGE - PAGE / 2 + 1};
    assert_true(memory_check_node(block, node, &found));
    block.size_bytes += PAGE;
    assert_false(memory_check_node(block, node, &found));
    munmap(memory, pages * PAGE);
}

static void the_policy_is_pushed_and_comes_back(void **state)
{
    (void)state;
    int node = own_node(), before = -1, pushed = -1, after = -1;
    unsigned long nodes[MEMORY_NODES_MAX / 64] = {0};
    struct memory_policy outer, inner;
    assert_int_equal(syscall(SYS_set_mempolicy, 0, NULL, 0), 0);
    assert_int_equal(syscall(SYS_get_mempolicy, &before, NULL, 0, NULL, 0), 0);
    memory_policy_push(node, &outer);
    assert_int_equal(syscall(SYS_get_mempolicy, &pushed, nodes, MEMORY_NODES_MAX, NULL, 0), 0);
    assert_int_equal(pushed, 1); /* MPOL_PREFERRED */
    assert_true(nodes[0] >> node & 1);
    memory_policy_push(node, &inner);
    memory_policy_pop(&inner);
    assert_int_equal(syscall(SYS_get_mempolicy, &after, NULL, 0, NULL, 0), 0);
    assert_int_equal(after, pushed);
    memory_policy_pop(&outer);
    assert_int_equal(syscall(SYS_get_mempolicy, &after, NULL, 0, NULL, 0), 0);
    assert_int_equal(before, 0); /* MPOL_DEFAULT */
    assert_int_equal(after, before);
    /* One that somebody else set, numactl for one, is kept: MPOL_BIND, and its nodes. */
    assert_int_equal(syscall(SYS_set_mempolicy, 2, nodes, MEMORY_NODES_MAX), 0);
    memory_policy_push(node, &outer);
    memory_policy_pop(&outer);
    assert_int_equal(syscall(SYS_get_mempolicy, &after, nodes, MEMORY_NODES_MAX, NULL, 0), 0);
    assert_int_equal(after, 2);
    assert_true(nodes[0] == 1ul << node);
    assert_int_equal(syscall(SYS_set_mempolicy, 0, NULL, 0), 0);
    /* Nodes that cannot be change nothing. */
    const int wrong[] = {MEMORY_ANY_NODE, -5, MEMORY_NODES_MAX, INT32_MAX};
    for (size_t i = 0; i < 4; i++) {
        memory_policy_push(wrong[i], &outer);
        assert_false(outer.is_pushed);
        memory_policy_pop(&outer);
    }
    assert_int_equal(syscall(SYS_get_mempolicy, &after, NULL, 0, NULL, 0), 0);
    assert_int_equal(after, before);
}

static void nothing(void *context)
{
    (void)context;
}

static void all_of_a_pollers_stack_is_there_before_it_polls(void **state)
{
    (void)state;
    int node = own_node(), found = -7;
    struct placement *placement = NULL;
    assert_int_equal(placement_open(&placement), 0);
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    assert_int_equal(poller_thread(guest->poller).id, 0);
    guest->poller->options.placement = placement;
    guest->poller->options.cpu = chosen_cpu(placement, 0, 1);
    assert_int_equal(poller_start(guest->poller), 0);
    struct poller_thread thread = poller_thread(guest->poller);
    assert_true(thread.id > 0 && thread.id != getpid());
    assert_true(thread.stack.size_bytes > MEMORY_STACK_BYTES / 2);
    if (!IOREQD_SANITIZE[0]) /* their run time enlarges stacks */
        assert_true(thread.stack.size_bytes <= MEMORY_STACK_BYTES);
    assert_int_equal(poller_call(guest->poller, nothing, NULL, TIMEOUT_NS), 0);
    node = memory_node_of_cpu(guest->poller->options.cpu);
    if (!memory_check_node(thread.stack, node, &found))
        fail_msg("a page of the stack lies on node %d, not %d", found, node);
    assert_true(memory_check_node(poller_memory(guest->poller), node, &found));
    assert_int_equal(poller_stop(guest->poller, TIMEOUT_NS), 0);
    guest_destroy(guest);
    placement_close(placement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_page_must_lie_on_the_wanted_node),
        cmocka_unit_test(allocated_memory_is_zero_present_and_on_its_node),
        cmocka_unit_test(the_last_page_of_many_is_looked_at_too),
        cmocka_unit_test(the_policy_is_pushed_and_comes_back),
        cmocka_unit_test(all_of_a_pollers_stack_is_there_before_it_polls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
