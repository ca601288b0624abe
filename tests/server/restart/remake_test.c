/* SPDX-License-Identifier: BSD-3-Clause */
/* What was made at run time, by the socket's commands, outlives a kill -9 of ioreqd, and what it has in
 * flight is settled as if the configuration had described it. */
#include "tests/support/supervised.h"

#include <sys/eventfd.h>

#define COUNTERS 0xfe100000ull
#define BANK     0xfe000000ull
#define ADDED    0xfe010000ull
#define BELL     0xfe020000ull
#define NOBODY   0xfd000000ull

static struct daemon ioreqd;
static pid_t counter_pid;

__attribute__((format(printf, 1, 2))) static int ask(const char *format, ...)
{
    char line[1024], error[SESSION_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    int result = session_command(ioreqd.socket, line, error);
    if (result < 0)
        print_message("%s: %s\n", line, error);
    return result;
}

static void write_config(const char *clients)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers:\n"
             "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: %u, source: memfd, poller: rt}\n"
             "clients:\n"
             "%s"
             "  - name: fixed\n"
             "    vm: guest\n"
             "    device: register_bank\n"
             "    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]\n"
             "    options: {registers: [{name: word, offset: 0, size: 8, count: 512, reset: 7}]}\n",
             ioreqd.socket, DAEMON_SANDBOX, COUNTERS_VCPUS, clients);
    daemon_write(ioreqd.config, text);
}

static int setup(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    write_config("");
    supervised_start(&ioreqd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return supervised_end(&ioreqd, &counter_pid);
}

static void make_vm(void)
{
    assert_int_equal(
        ask("vm-create {name: made, vcpus: %u, source: memfd, poller: rt}", COUNTERS_VCPUS), 0);
    assert_int_equal(ask("client-create {name: counters, vm: made, device: process, "
                         "options: {deadline_us: 0}}"),
                     0);
    assert_int_equal(ask("range-add made counters mmio 0xfe100000 0xfe100fff"), 0);
    assert_int_equal(
        ask("client-create {name: bank, vm: made, device: register_bank, ranges: "
            "[{type: mmio, first: 0xfe000000, last: 0xfe000fff}], options: {registers: "
            "[{name: word, offset: 0, size: 8, count: 512, reset: 5}]}}"),
        0);
    assert_int_equal(ask("vm-start made"), 0);
}

static uint64_t read_of(struct requester *requester, uint64_t address)
{
    return daemon_read(requester, address, 8);
}

/* ---- VMs ---------------------------------------------------------------------------------- */

static void a_vm_that_was_made_loses_nothing_and_repeats_nothing(void **state)
{
    (void)state;
    struct counting vcpus[COUNTERS_VCPUS];
    make_vm();
    counter_pid = counter_start(&ioreqd, "made", "counters");
    struct requester *requester = daemon_attach(&ioreqd, "made");
    counting_start(vcpus, requester, COUNTERS, NOBODY);
    supervised_kill(&ioreqd);
    uint32_t descriptors = supervised_descriptors(&ioreqd);
    for (uint32_t i = 0; i < 6; i++) {
        pause_us(5000 + 7000 * i);
        supervised_kill(&ioreqd);
    }
    pause_us(30000);
    counting_end(vcpus);
    assert_true(read_of(requester, BANK) == 5);
    assert_int_equal(supervised_descriptors(&ioreqd), descriptors);
    requester_detach(requester);
}

static void one_that_was_not_started_waits_and_a_paused_one_stays_so(void **state)
{
    (void)state;
    struct counting vcpu;
    assert_int_equal(ask("vm-create {name: still, vcpus: 1, source: memfd, poller: rt}"), 0);
    make_vm();
    struct requester *requester = daemon_attach(&ioreqd, "made");
    assert_int_equal(ask("vm-pause made"), 0);
    supervised_kill(&ioreqd);
    assert_int_equal(ask("vm-start still"), 0);
    counting_begin_read(&vcpu, requester, BANK);
    assert_int_equal(ask("vm-resume made"), 0);
    assert_true(counting_end_read(&vcpu) == 5);
    requester_detach(requester);
}

static void what_was_destroyed_does_not_come_back(void **state)
{
    (void)state;
    supervised_kill(&ioreqd);
    uint32_t descriptors = supervised_descriptors(&ioreqd);
    make_vm();
    assert_int_equal(ask("client-destroy made bank"), 0);
    supervised_kill(&ioreqd);
    assert_int_equal(ask("client-destroy made bank"), -ENOENT);
    assert_int_equal(ask("client-destroy made counters"), 0);
    assert_int_equal(ask("vm-destroy made"), 0);
    supervised_kill(&ioreqd);
    assert_int_equal(ask("vm-destroy made"), -ENOENT);
    assert_int_equal(supervised_descriptors(&ioreqd), descriptors + 1); /* the script */
    assert_false(daemon_file_has(ioreqd.err, "fails now"));
}

/* ---- clients and ranges ------------------------------------------------------------------- */

static void what_was_changed_of_the_configured_stays_so_until_a_reload(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(ask("range-add guest fixed mmio 0xfe010000 0xfe010fff 3"), 0);
    assert_int_equal(ask("range-delete guest fixed mmio 0xfe000000 0xfe000fff"), 0);
    supervised_kill(&ioreqd);
    assert_true(read_of(requester, ADDED) == 7);
    assert_true(read_of(requester, BANK) == UINT64_MAX);
    assert_int_equal(ask("range-delete guest fixed mmio 0xfe010000 0xfe010fff"), 0);
    assert_int_equal(ask("client-destroy guest fixed"), 0);
    supervised_kill(&ioreqd);
    assert_true(read_of(requester, ADDED) == UINT64_MAX);
    assert_int_equal(ask("client-destroy guest fixed"), -ENOENT);
    assert_int_equal(ask("reload"), 0);
    assert_true(read_of(requester, BANK) == 7);
    supervised_kill(&ioreqd);
    assert_true(read_of(requester, BANK) == 7);
    assert_false(daemon_file_has(ioreqd.err, "fails now"));
    requester_detach(requester);
}

/* It is described meanwhile: what the file says of it is what there is. */
static void what_the_file_describes_now_is_not_made_again(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(
        ask("client-create {name: late, vm: guest, device: register_bank, ranges: "
            "[{type: mmio, first: 0xfe010000, last: 0xfe010fff}], options: {registers: "
            "[{name: word, offset: 0, size: 8, reset: 1}]}}"),
        0);
    write_config("  - name: late\n"
                 "    vm: guest\n"
                 "    device: register_bank\n"
                 "    ranges: [{type: mmio, first: 0xfe010000, last: 0xfe010fff}]\n"
                 "    options: {registers: [{name: word, offset: 0, size: 8, reset: 2}]}\n");
    supervised_kill(&ioreqd);
    assert_true(read_of(requester, ADDED) == 2);
    assert_true(daemon_file_has(ioreqd.err, "fails now"));
    requester_detach(requester);
}

/* What waits for it is offered again, once, and finished once. */
static void an_external_client_sees_what_waits_for_it(void **state)
{
    (void)state;
    struct counting vcpu;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(ask("client-create-external guest outsider"), 0);
    counting_begin_read(&vcpu, requester, NOBODY);
    assert_int_equal(ask("client-attach guest outsider"), 0); /* it waits */
    supervised_kill(&ioreqd);
    assert_int_equal(ask("client-attach guest outsider"), 0);
    assert_int_equal(ask("notify-finish guest outsider 0 0x1234"), 0);
    assert_true(counting_end_read(&vcpu) == 0x1234);
    assert_int_equal(ask("notify-finish guest outsider 0 0x1234"), -ENOENT);
    requester_detach(requester);
}

/* ---- eventfds ----------------------------------------------------------------------------- */

static int ask_with(int descriptor, const char *line)
{
    char reply[WIRE_LINE_MAX] = "";
    int server = wire_connect(ioreqd.socket);
    assert_true(server >= 0);
    assert_int_equal(wire_send_line_with(server, descriptor, "%s", line), 0);
    assert_int_equal(wire_receive_line(server, reply, sizeof(reply), NULL), 0);
    close(server);
    return strncmp(reply, "ok", 2) == 0 ? 0 : -1;
}

static void an_eventfd_rings_under_the_next_server(void **state)
{
    (void)state;
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        gone = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd_t rings = 0;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(ask_with(bell, "ioeventfd-assign guest mmio 0xfe020000 8"), 0);
    assert_int_equal(ask_with(bell, "ioeventfd-assign guest mmio 0xfe030000 8 any ones"), 0);
    assert_int_equal(ask_with(gone, "ioeventfd-assign guest mmio 0xfe040000 8"), 0);
    assert_int_equal(ask_with(gone, "ioeventfd-deassign guest mmio 0xfe040000 8"), 0);
    supervised_kill(&ioreqd);
    daemon_write_word(requester, BELL, 1);
    assert_true(read_of(requester, 0xfe030000) == UINT64_MAX);
    assert_true(read_of(requester, BELL) == 0);
    while (eventfd_read(bell, &rings) < 0)
        daemon_pause(); /* the notifier's thread */
    assert_int_equal(rings, 1);
    assert_int_equal(ask_with(bell, "ioeventfd-deassign guest mmio 0xfe030000 8"), 0);
    assert_int_equal(ask_with(bell, "ioeventfd-deassign guest mmio 0xfe020000 8"), 0);
    assert_int_equal(supervised_open_kept(&ioreqd, "[eventfd]"), -1);
    supervised_kill(&ioreqd);
    assert_true(read_of(requester, BELL) == UINT64_MAX);
    assert_false(daemon_file_has(ioreqd.err, "fails now"));
    requester_detach(requester);
    close(bell);
    close(gone);
}

/* ---- what cannot be believed -------------------------------------------------------------- */

static void a_damaged_script_is_refused_with_its_reason(void **state)
{
    (void)state;
    make_vm();
    int script = supervised_open_kept(&ioreqd, "ioreqd-script");
    assert_true(script >= 0);
    pid_t old = supervised_server(&ioreqd);
    kill(old, SIGSTOP);
    assert_int_equal(pwrite(script, "x", 1, 4096 + 20), 1);
    close(script);
    kill(old, SIGKILL);
    supervised_wait_for_another(&ioreqd, old);
    assert_true(daemon_file_has(ioreqd.err, "its script is refused: a line is damaged"));
    assert_int_equal(ask("vm-destroy made"), -ENOENT);
    make_vm(); /* and the next one is as any other */
    supervised_kill(&ioreqd);
    assert_int_equal(ask("vm-destroy made"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_damaged_script_is_refused_with_its_reason, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_destroyed_does_not_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_changed_of_the_configured_stays_so_until_a_reload,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_file_describes_now_is_not_made_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_that_was_not_started_waits_and_a_paused_one_stays_so,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_external_client_sees_what_waits_for_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_eventfd_rings_under_the_next_server, setup, teardown),
        cmocka_unit_test_setup_teardown(a_vm_that_was_made_loses_nothing_and_repeats_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
