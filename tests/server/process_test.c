/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd and devices in processes of their own: rows 25, 27, 29 to 31, 34 to 37 and 39 of
 * tests/faults.md, end to end. The test is the operator and, on threads, the guest. */
#include "tests/support/descriptors.h"
#include "tests/support/ioreqd.h"
#include "tests/support/outside.h"

#include <pthread.h>

/* Clients of the configuration below, by their policy. */
#define PATIENT 0xfe100000ull /* no deadline; what was taken fails */
#define AGAIN   0xfe101000ull /* no deadline; what was taken is asked again */
#define HURRIED 0xfe102000ull /* 1 ms, then LATE_VALUE; quarantined after three */

#define LATE_VALUE 0x5aull

static struct requester *requester; /* plays the guest of every test */

static int setup(void **state)
{
    ioreqd_init(state);
    daemon_write_guest(&ioreqd, 4);
    daemon_add_process(&ioreqd, "patient", PATIENT, "deadline_us: 0");
    daemon_add_process(&ioreqd, "again", AGAIN, "deadline_us: 0, on_death: reissue");
    daemon_add_process(&ioreqd, "hurried", HURRIED,
                       "deadline_us: 1000, late: value, late_value: 0x5a, quarantine_after: 3");
    daemon_start(&ioreqd);
    requester = daemon_attach(&ioreqd, "guest");
    return 0;
}

static int teardown(void **state)
{
    requester_detach(requester);
    return ioreqd_end(state);
}

/* ---- what the server says ---------------------------------------------------------------- */

static const char *figure(const char *client, const char *key)
{
    return daemon_client_figure(&ioreqd, client, key);
}

static uint64_t number(const char *client, const char *key)
{
    return strtoull(figure(client, key), NULL, 10);
}

static void wait_for_state(const char *client, const char *name)
{
    char quoted[32];
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    while (strncmp(figure(client, "state"), quoted, strlen(quoted)) != 0)
        daemon_pause();
}

/* Slots in flight, as the page says. */
static void wait_for_processing(uint32_t count)
{
    uint32_t found;
    do {
        found = 0;
        for (const char *at = daemon_status(&ioreqd); (at = strstr(at, "\"processing\"")); at++)
            found++;
        if (found != count)
            daemon_pause();
    } while (found != count);
}

/* Once the connections of before have ended. */
static uint32_t settled_descriptors(void)
{
    uint32_t count = descriptors_count(ioreqd.pid);
    for (int same = 0; same < 20; same++) {
        daemon_pause();
        uint32_t now = descriptors_count(ioreqd.pid);
        same = now == count ? same : 0;
        count = now;
    }
    return count;
}

/* Registrations end by and by. */
static void assert_descriptors(uint32_t expected)
{
    for (int i = 0; i < 1000 && descriptors_count(ioreqd.pid) != expected; i++)
        daemon_pause();
    assert_int_equal(descriptors_count(ioreqd.pid), expected);
}

/* ---- the guest --------------------------------------------------------------------------- */

struct asking {
    pthread_t thread;
    uint32_t vcpu;
    struct requester_access access;
    int result;
};

static void *ask_thread(void *argument)
{
    struct asking *asking = argument;
    asking->result = requester_access(requester, asking->vcpu, &asking->access);
    return NULL;
}

static void ask(struct asking *asking, uint32_t vcpu, uint64_t address)
{
    *asking = (struct asking){
        .vcpu = vcpu,
        .access = {
            .address = address, .size_bytes = 8, .type = REQUEST_MMIO, .direction = REQUEST_READ}};
    assert_int_equal(pthread_create(&asking->thread, NULL, ask_thread, asking), 0);
}

static uint64_t answer_to(struct asking *asking)
{
    assert_int_equal(pthread_join(asking->thread, NULL), 0);
    assert_int_equal(asking->result, 0);
    return asking->access.value;
}

static struct outside registered(const char *client)
{
    struct outside outside = outside_start(&ioreqd, client);
    int result;
    /* The end of the one before may reach the server after us. */
    while ((result = outside_do(&outside, OUTSIDE_REGISTER)) == -EBUSY)
        daemon_pause();
    assert_int_equal(result, 0);
    return outside;
}

static struct outside joined(const char *client)
{
    struct outside outside = outside_start(&ioreqd, client);
    assert_int_equal(outside_do(&outside, OUTSIDE_JOIN), 0);
    return outside;
}

/* ---- 37, 39: registrations that must be refused ------------------------------------------ */

static void row37_registration_is_refused_with_its_reason(void **state)
{
    (void)state;
    struct outside outside = registered("patient");
    uint32_t descriptors = settled_descriptors();
    struct ioreq_client *client = (struct ioreq_client *)&client;
    const struct {
        const char *vm, *name;
        int result;
        const char *reason;
    } cases[] = {
        {"guest", "nobody", -ENOENT, "no client called nobody"},
        {"nowhere", "patient", -ENOENT, "no VM is called nowhere"},
        {"guest", "scratch", -EINVAL, "is no device: process"},
        {"guest", "patient", -EBUSY, "serves patient already"},
        {"guest", "", -EINVAL, "expected names"},
        {"guest", "a b", -EINVAL, "expected names"},
        {"guest", "again\nvm-destroy guest", -EINVAL, "expected names"},
        {"guest", "0123456789abcdef", -EINVAL, "expected names"},
        {NULL, "again", -EINVAL, "expected names"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ioreq_register(ioreqd.socket, cases[i].vm, cases[i].name, &client),
                         cases[i].result);
        assert_null(client);
        assert_non_null(strstr(ioreq_error(NULL), cases[i].reason));
    }
    assert_int_equal(ioreq_register("/nowhere/socket", "guest", "again", &client), -ENOENT);
    assert_descriptors(descriptors);
    outside_kill(&outside);
}

static void row37_client_made_at_run_time_is_refused_without_a_trace(void **state)
{
    (void)state;
    struct ioreq_client *client;
    const struct ioreq_range ranges[] = {{0xd0000000, 0xd0000fff, IOREQ_MMIO, 0},
                                         {PATIENT, PATIENT, IOREQ_MMIO, 0},
                                         {8, 7, IOREQ_MMIO, 0},
                                         {0, UINT64_MAX, IOREQ_MMIO, 0},
                                         {0, 7, IOREQ_WP, 0}};
    for (size_t i = 1; i < 5; i++) {
        const struct ioreq_range both[] = {ranges[0], ranges[i]};
        assert_true(ioreq_create(ioreqd.socket, "guest", "new", both, 2, &client) < 0);
        assert_null(client);
        assert_true(strlen(ioreq_error(NULL)) > 0);
    }
    assert_int_equal(ioreq_create(ioreqd.socket, "guest", "patient", ranges, 1, &client), -EEXIST);
    assert_null(strstr(daemon_status(&ioreqd), "\"new\""));
    assert_int_equal(ioreq_create(ioreqd.socket, "guest", "new", ranges, 1, &client), 0);
    assert_int_equal(ioreq_destroy(client), 0);
    assert_null(strstr(daemon_status(&ioreqd), "\"new\""));
}

static void one_process_may_not_take_all_places(void **state)
{
    (void)state;
    struct ioreq_client *clients[16], *more;
    char name[16];
    uint32_t descriptors = settled_descriptors();
    for (uint32_t i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "new-%u", i);
        assert_int_equal(ioreq_create(ioreqd.socket, "guest", name, NULL, 0, &clients[i]), 0);
    }
    assert_int_equal(ioreq_create(ioreqd.socket, "guest", "more", NULL, 0, &more), -EDQUOT);
    assert_null(strstr(daemon_status(&ioreqd), "\"more\""));
    struct outside outside = registered("patient"); /* another one may */
    outside_kill(&outside);
    for (uint32_t i = 0; i < 16; i++)
        ioreq_close(clients[i]);
    assert_descriptors(descriptors);
}

static void row39_descriptors_that_come_with_a_registration_are_refused_and_closed(void **state)
{
    (void)state;
    uint32_t descriptors = settled_descriptors();
    char line[WIRE_LINE_MAX];
    const char *paths[] = {"/dev/null", "/", "/proc/self/status"};
    for (size_t i = 0; i < 3; i++) {
        int passed = open(paths[i], O_PATH | O_CLOEXEC);
        int server = wire_connect(ioreqd.socket);
        assert_true(passed >= 0 && server >= 0);
        assert_int_equal(wire_send_line_with(server, passed, "client-register guest patient"), 0);
        assert_int_equal(wire_receive_line(server, line, sizeof(line), NULL), 0);
        assert_non_null(strstr(line, "error 22 a descriptor came with the line"));
        close(server);
        close(passed);
    }
    assert_descriptors(descriptors);
    assert_int_equal(strncmp(figure("patient", "state"), "\"absent\"", 8), 0);
}

/* ---- 25: death at every step ------------------------------------------------------------- */

static void row25_killed_before_taking(void **state)
{
    (void)state;
    struct outside first = registered("patient");
    struct asking asking;
    ask(&asking, 1, PATIENT + 8);
    wait_for_processing(1);
    outside_kill(&first);
    wait_for_state("patient", "awaited");
    struct outside second = registered("patient");
    assert_int_equal(outside_do(&second, OUTSIDE_TAKE), 0);
    assert_int_equal(outside_do(&second, OUTSIDE_ANSWER), 0);
    assert_int_equal(answer_to(&asking), outside_value(PATIENT + 8));
    assert_int_equal(number("patient", "handed_on"), 1);
    assert_int_equal(number("patient", "accesses"), 1);
    outside_kill(&second);
}

static void row25_killed_after_taking(void **state)
{
    (void)state;
    struct outside first = registered("patient");
    struct asking asking;
    ask(&asking, 0, PATIENT);
    assert_int_equal(outside_do(&first, OUTSIDE_TAKE), 0);
    outside_kill(&first);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    assert_int_equal(number("patient", "failed"), 1);
    struct outside second = registered("patient");
    ask(&asking, 0, PATIENT + 16); /* and the next one is its own */
    assert_int_equal(outside_do(&second, OUTSIDE_TAKE), 0);
    assert_int_equal(outside_do(&second, OUTSIDE_ANSWER), 0);
    assert_int_equal(answer_to(&asking), outside_value(PATIENT + 16));
    outside_kill(&second);
}

static void row25_killed_after_taking_where_the_next_one_is_asked_again(void **state)
{
    (void)state;
    struct asking asking;
    ask(&asking, 0, AGAIN + 24); /* answered at once: nobody is there yet */
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    struct outside first = registered("again");
    ask(&asking, 0, AGAIN + 24);
    assert_int_equal(outside_do(&first, OUTSIDE_TAKE), 0);
    outside_kill(&first);
    struct outside second = registered("again");
    assert_int_equal(outside_do(&second, OUTSIDE_TAKE), 0);
    assert_int_equal(outside_do(&second, OUTSIDE_ANSWER), 0);
    assert_int_equal(answer_to(&asking), outside_value(AGAIN + 24));
    assert_int_equal(number("again", "asked_again"), 1);
    outside_kill(&second);
}

static void row25_killed_after_answering(void **state)
{
    (void)state;
    struct outside outside = registered("patient");
    struct asking asking;
    ask(&asking, 3, PATIENT + 32);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    assert_int_equal(outside_do(&outside, OUTSIDE_ANSWER), 0);
    outside_kill(&outside);
    assert_int_equal(answer_to(&asking), outside_value(PATIENT + 32));
    assert_int_equal(number("patient", "failed"), 0);
}

static void death_is_seen_though_a_child_keeps_the_connection(void **state)
{
    (void)state;
    struct outside outside = registered("patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_BREED), 0);
    struct asking asking;
    ask(&asking, 0, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    outside_kill(&outside);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    wait_for_state("patient", "awaited");
}

/* ---- 27: it stands still ----------------------------------------------------------------- */

static void row27_stopped_process_is_late_then_quarantined_and_may_come_again(void **state)
{
    (void)state;
    struct outside outside = registered("hurried");
    kill(outside.pid, SIGSTOP);
    for (int i = 0; i < 3; i++)
        assert_int_equal(daemon_read(requester, HURRIED, 8), LATE_VALUE);
    wait_for_state("hurried", "quarantined");
    assert_int_equal(number("hurried", "late"), 3);
    assert_int_equal(daemon_read(requester, HURRIED, 8), LATE_VALUE); /* at once */
    assert_int_equal(number("hurried", "late"), 3);
    assert_int_equal(number("hurried", "unserved"), 1);
    daemon_exercise(requester, 50); /* others are served as ever */
    kill(outside.pid, SIGCONT);
    assert_int_equal(outside_do(&outside, OUTSIDE_WAIT_FOR_END), 0);
    assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
    wait_for_state("hurried", "serving");
    daemon_await_file(ioreqd.err, "it missed too many deadlines; it is quarantined");
    outside_kill(&outside);
}

/* ---- 29, 31, 34, 35, 36: malice ---------------------------------------------------------- */

/* Cut, what is in flight settled, nobody else disturbed, and the next one welcome. */
static void assert_contained(struct outside *outside, enum outside_step step, const char *words)
{
    struct asking asking;
    ask(&asking, 0, PATIENT);
    wait_for_processing(1);
    assert_int_equal(outside_do(outside, step), 0);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    daemon_await_file(ioreqd.err, words);
    daemon_exercise(requester, 50);
    outside_kill(outside);
    struct outside next = registered("patient");
    outside_begin(&next, OUTSIDE_SERVE);
    assert_int_equal(daemon_read(requester, PATIENT + 40, 8), outside_value(PATIENT + 40));
    outside_kill(&next);
}

static void row29_answers_to_nothing_are_cut(void **state)
{
    (void)state;
    struct outside outside = joined("patient");
    assert_contained(&outside, OUTSIDE_STRAY,
                     "it answered requests that it was not asked; it is quarantined");
    assert_int_equal(number("patient", "refused"), 16);
}

static void row31_count_that_jumps_is_cut(void **state)
{
    (void)state;
    struct outside outside = joined("patient");
    assert_contained(&outside, OUTSIDE_JUMP,
                     "it wrote counts into its channel that cannot be; it is quarantined");
}

static void row34_process_that_writes_its_requests_dies(void **state)
{
    (void)state;
    struct outside outside = joined("patient");
    struct asking asking;
    ask(&asking, 0, PATIENT);
    wait_for_processing(1);
    outside_begin(&outside, OUTSIDE_WRITE_REQUESTS);
    assert_int_not_equal(outside_wait(&outside), 0);
    wait_for_state("patient", "awaited");
    struct outside next = registered("patient");
    outside_begin(&next, OUTSIDE_SERVE);
    assert_int_equal(answer_to(&asking), outside_value(PATIENT));
    outside_kill(&next);
}

static void row35_memory_that_is_changed_under_the_server_is_contained(void **state)
{
    (void)state;
    struct outside outside = joined("patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_RESIZE), 0);
    assert_contained(&outside, OUTSIDE_PUNCH,
                     "it wrote counts into its channel that cannot be; it is quarantined");
}

static void row36_process_that_never_reads_its_socket_is_late_like_any_other(void **state)
{
    (void)state;
    struct outside outside = outside_start(&ioreqd, "hurried");
    assert_int_equal(outside_do(&outside, OUTSIDE_DEAF), 0);
    wait_for_state("hurried", "serving");
    for (int i = 0; i < 3; i++)
        assert_int_equal(daemon_read(requester, HURRIED, 8), LATE_VALUE);
    wait_for_state("hurried", "quarantined");
    daemon_exercise(requester, 50);
    outside_kill(&outside);
}

/* ---- what it is for ---------------------------------------------------------------------- */

static void serve(const char *client, uint64_t base, enum outside_step how)
{
    struct outside outside = registered(client);
    outside_begin(&outside, how);
    for (uint64_t i = 0; i < 300; i++)
        assert_int_equal(daemon_read(requester, base + i * 8, 8), outside_value(base + i * 8));
    assert_int_equal(daemon_read(requester, base, 2), outside_value(base) & 0xffff);
    daemon_write_word(requester, base, 1);
    assert_int_equal(number(client, "accesses"), 302);
    assert_int_equal(number(client, "refused"), 0);
    outside_kill(&outside);
}

static void process_serves_a_client(void **state)
{
    (void)state;
    serve("patient", PATIENT, OUTSIDE_SERVE);
}

static void process_serves_in_an_event_loop(void **state)
{
    (void)state;
    serve("patient", PATIENT, OUTSIDE_SERVE_LOOP);
}

static void four_requests_are_outstanding_at_once(void **state)
{
    (void)state;
    struct asking asking[4];
    struct ioreq_client *client;
    struct ioreq_request requests[4];
    assert_int_equal(ioreq_register(ioreqd.socket, "guest", "patient", &client), 0);
    for (uint32_t i = 0; i < 4; i++) {
        ask(&asking[i], i, PATIENT + i * 8);
        assert_int_equal(ioreq_receive(client, &requests[i], OUTSIDE_WAIT_NS, 0), 0);
        assert_int_equal(requests[i].vcpu, i);
        assert_int_equal(requests[i].offset, i * 8);
    }
    assert_int_equal(ioreq_receive(client, &requests[0], 1000, 0), -ETIMEDOUT);
    assert_int_equal(ioreq_receive(client, &requests[0], 1000, IOREQ_FOREVER), -ETIMEDOUT);
    assert_int_equal(ioreq_answer(client, 0, 1), -EINVAL);
    for (uint32_t i = 4; i-- > 1;)
        assert_int_equal(ioreq_answer(client, requests[i].token, 70 + i), 0);
    assert_int_equal(ioreq_fail(client, requests[0].token), 0);
    assert_int_equal(answer_to(&asking[0]), UINT64_MAX);
    for (uint32_t i = 1; i < 4; i++)
        assert_int_equal(answer_to(&asking[i]), 70 + i);
    assert_int_equal(number("patient", "errors"), 1);
    ioreq_close(client);
    wait_for_state("patient", "absent");
}

static void process_is_told_of_a_reset(void **state)
{
    (void)state;
    struct ioreq_client *client;
    struct ioreq_request request;
    struct asking asking;
    char error[SESSION_ERROR_BYTES];
    assert_int_equal(ioreq_register(ioreqd.socket, "guest", "patient", &client), 0);
    assert_int_equal(ioreq_resets(client), 1);
    assert_int_equal(ioreq_arm(client), 0);
    assert_int_equal(session_command(ioreqd.socket, "vm-reset guest", error), 0);
    struct pollfd entry = {.fd = ioreq_descriptor(client), .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 10000), 1);
    assert_int_equal(ioreq_resets(client), 2);
    assert_int_equal(ioreq_try_receive(client, &request), -EAGAIN);
    ask(&asking, 0, PATIENT);
    assert_int_equal(ioreq_receive(client, &request, OUTSIDE_WAIT_NS, 0), 0);
    assert_int_equal(request.resets, 2);
    uint64_t before = request.token;
    assert_int_equal(session_command(ioreqd.socket, "vm-reset guest", error), 0);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    /* One that nobody takes until the next reset has settled it. */
    ask(&asking, 0, PATIENT + 8);
    wait_for_processing(1);
    assert_int_equal(session_command(ioreqd.socket, "vm-reset guest", error), 0);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    ask(&asking, 0, PATIENT + 16);
    assert_int_equal(ioreq_receive(client, &request, OUTSIDE_WAIT_NS, 0), 0);
    assert_int_equal(request.offset, 8);
    assert_int_equal(request.resets, 3);
    assert_int_equal(ioreq_answer(client, request.token, 1), 0);
    assert_int_equal(ioreq_answer(client, before, 1), 0);
    assert_int_equal(ioreq_receive(client, &request, OUTSIDE_WAIT_NS, 0), 0);
    assert_int_equal(request.offset, 16);
    assert_int_equal(request.resets, 4);
    assert_int_equal(ioreq_answer(client, request.token, 5), 0);
    assert_int_equal(answer_to(&asking), 5);
    assert_int_equal(number("patient", "refused"), 2);
    ioreq_close(client);
}

static void ranges_come_and_go_at_run_time(void **state)
{
    (void)state;
    struct ioreq_client *client;
    struct ioreq_request request;
    const struct ioreq_range first = {0xd0000000, 0xd0000fff, IOREQ_MMIO, 0};
    const struct ioreq_range second = {0xd0002000, 0xd0002fff, IOREQ_MMIO, 0};
    assert_int_equal(ioreq_create(ioreqd.socket, "guest", "new", &first, 1, &client), 0);
    assert_int_equal(ioreq_add_range(client, &second), 0);
    assert_int_equal(ioreq_add_range(client, &second), -EEXIST);
    assert_non_null(strstr(ioreq_error(client), "overlaps"));
    struct asking asking;
    ask(&asking, 0, 0xd0002004);
    assert_int_equal(ioreq_receive(client, &request, OUTSIDE_WAIT_NS, 1000), 0);
    assert_int_equal(request.offset, 4);
    assert_int_equal(request.range_index, 1);
    assert_int_equal(ioreq_answer(client, request.token, 77), 0);
    assert_int_equal(answer_to(&asking), 77);
    assert_int_equal(ioreq_delete_range(client, &second), 0);
    assert_int_equal(ioreq_delete_range(client, &second), -ENOENT);
    assert_int_equal(daemon_read(requester, 0xd0002004, 8), UINT64_MAX);
    assert_int_equal(ioreq_destroy(client), 0);
}

static void row38_client_goes_with_a_request_in_flight(void **state)
{
    (void)state;
    struct outside outside = registered("patient");
    struct asking asking;
    ask(&asking, 0, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    char error[SESSION_ERROR_BYTES];
    assert_int_equal(session_command(ioreqd.socket, "client-destroy guest patient", error), 0);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    assert_int_equal(outside_do(&outside, OUTSIDE_WAIT_FOR_END), 0);
    outside_kill(&outside);
}

static void processes_see_the_end_of_the_server(void **state)
{
    (void)state;
    struct outside patient = registered("patient"), again = registered("again");
    kill(ioreqd.pid, SIGKILL);
    daemon_wait(&ioreqd);
    assert_int_equal(outside_do(&patient, OUTSIDE_WAIT_FOR_END), 0);
    assert_int_equal(outside_do(&again, OUTSIDE_WAIT_FOR_END), 0);
    outside_kill(&patient);
    outside_kill(&again);
}

static void server_ends_in_order_while_a_process_serves(void **state)
{
    (void)state;
    struct outside outside = registered("patient");
    struct asking asking;
    ask(&asking, 0, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_int_equal(answer_to(&asking), UINT64_MAX);
    assert_int_equal(outside_do(&outside, OUTSIDE_WAIT_FOR_END), 0);
    outside_kill(&outside);
}

/* A few of row 26's kills: nothing is lost, and no descriptor. */
static void fifty_deaths_leave_nothing_behind(void **state)
{
    (void)state;
    struct outside outside = registered("again");
    outside_begin(&outside, OUTSIDE_SERVE);
    uint32_t descriptors = settled_descriptors();
    for (uint32_t i = 0; i < 50; i++) {
        struct asking asking;
        assert_int_equal(daemon_read(requester, AGAIN + i * 8, 8), outside_value(AGAIN + i * 8));
        ask(&asking, 1, AGAIN + 8);
        outside_kill(&outside);
        outside = registered("again");
        outside_begin(&outside, OUTSIDE_SERVE);
        assert_int_equal(answer_to(&asking), outside_value(AGAIN + 8));
    }
    assert_descriptors(descriptors);
    assert_int_equal(number("again", "accesses"), 100);
    assert_int_equal(number("again", "epoch"), 51);
    outside_kill(&outside);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(row37_registration_is_refused_with_its_reason),
        TEST(row37_client_made_at_run_time_is_refused_without_a_trace),
        TEST(one_process_may_not_take_all_places),
        TEST(row39_descriptors_that_come_with_a_registration_are_refused_and_closed),
        TEST(row25_killed_before_taking),
        TEST(row25_killed_after_taking),
        TEST(row25_killed_after_taking_where_the_next_one_is_asked_again),
        TEST(row25_killed_after_answering),
        TEST(death_is_seen_though_a_child_keeps_the_connection),
        TEST(row27_stopped_process_is_late_then_quarantined_and_may_come_again),
        TEST(row29_answers_to_nothing_are_cut),
        TEST(row31_count_that_jumps_is_cut),
        TEST(row34_process_that_writes_its_requests_dies),
        TEST(row35_memory_that_is_changed_under_the_server_is_contained),
        TEST(row36_process_that_never_reads_its_socket_is_late_like_any_other),
        TEST(process_serves_a_client),
        TEST(process_serves_in_an_event_loop),
        TEST(four_requests_are_outstanding_at_once),
        TEST(process_is_told_of_a_reset),
        TEST(ranges_come_and_go_at_run_time),
        TEST(row38_client_goes_with_a_request_in_flight),
        TEST(processes_see_the_end_of_the_server),
        TEST(server_ends_in_order_while_a_process_serves),
        TEST(fifty_deaths_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
