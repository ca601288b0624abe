/* SPDX-License-Identifier: BSD-3-Clause */
/* Row 44 of tests/faults.md as the pollers see it: the server dies before any instruction of a
 * request's way, and the next one settles the slot once. The trap flag stops the code under test at each
 * instruction; there what would be left of it is copied, adopted, and served to the end. */
#include "tests/support/guest.h"

#include "clients/channel_peer.h"
#include "pollers/page_adopt.h"
#include "pollers/process_serve.h"
#include "pollers/ticks.h"

#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100
#define OWNER     7u
#define EPOCH     3u
#define ANSWER    0xa5a5f00d12345678ull
#define PCI_WORD  0x80001000u

/* ---- stopping at each instruction --------------------------------------------------------- */

static void (*probe)(void);
static uint64_t steps;
static char failure[160]; /* the first one */

static void step(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    ucontext_t *machine = context;
    if (!probe) {
        machine->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        return;
    }
    steps++;
    if (!failure[0])
        probe();
}

static void set_trap_flag(void)
{
    /* Below what a leaf function may keep there. */
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\tpushfq\n\torq %0, (%%rsp)\n\tpopfq\n\t"
                     "leaq 128(%%rsp), %%rsp" ::"i"(TRAP_FLAG)
                     : "memory", "cc");
}

/* Calls function(argument), and death before each of its instructions. */
static void step_through(void (*function)(void *argument), void *argument, void (*at_each)(void))
{
    struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    probe = at_each;
    set_trap_flag();
    function(argument);
    probe = NULL; /* the next step ends it */
    __asm__ volatile("nop");
    if (failure[0])
        fail_msg("%s (step %llu)", failure, (unsigned long long)steps);
}

static void expect(bool is_so, const char *what)
{
    if (!is_so && !failure[0])
        snprintf(failure, sizeof(failure), "%s", what);
}

/* ---- the dying server, and its client's process ------------------------------------------- */

static struct guest *dying;
static struct process_port port;
static struct process_kept process_kept;
static struct channel *channel;
static struct channel_peer peer;
static uint32_t executed;   /* how often the process acted on the request */
static uint64_t held_token; /* taken and not answered; 0: none */
static bool has_process;

/* ---- the next one -------------------------------------------------------------------------- */

static struct guest *next;
static struct page_kept *next_kept;

static void next_client(struct process_port *next_port, struct process_kept *kept)
{
    struct process_kept_words words = {0};
    memset(next_port, 0, sizeof(*next_port));
    atomic_init(&next_port->state, PROCESS_ABSENT);
    next_port->kept = kept;
    next_port->owner = OWNER;
    next->client.process = next_port;
    expect(process_kept_get(kept, &words) && words.is_served && words.epoch >= EPOCH,
           "what is kept of the process is not whole");
    process_adopt(&next->client, UINT64_MAX);
}

/* As the registration does, and libioreq. */
static void come_back(struct channel **next_channel, struct channel_peer *next_peer)
{
    expect(channel_open(EPOCH + 9, next_channel) == 0, "no channel");
    bool is_resumed = process_attach(next->page, &next->client, *next_channel, NULL, 0,
                                     (struct process_resume){EPOCH, (uint32_t)peer.taken});
    expect(is_resumed, "the process is not known any more");
    expect(channel_peer_map((*next_channel)->requests_descriptor,
                            (*next_channel)->answers_descriptor, next_peer) == 0,
           "no channel for the process");
    channel_peer_repeat(&peer, next_peer);
}

/* What is left of its work: the one in hand, and what comes. Returns how often it acted. */
static uint32_t go_on(struct channel_peer *next_peer)
{
    struct channel_request request;
    uint32_t acted = 0;
    if (held_token) {
        const struct channel_answer answer = {held_token, ANSWER, next_peer->epoch,
                                              CHANNEL_ANSWERED};
        channel_peer_answer(next_peer, &answer);
    }
    while (channel_peer_take(next_peer, &request)) {
        acted++;
        const struct channel_answer answer = {request.token, ANSWER, next_peer->epoch,
                                              CHANNEL_ANSWERED};
        channel_peer_answer(next_peer, &answer);
    }
    return acted;
}

static void adopt_from(const struct acrn_io_request *slots, const struct page_kept *kept)
{
    struct page_adoption adoption;
    memcpy(next->slots, slots, PAGE_BYTES);
    memcpy(next_kept, kept, sizeof(*kept));
    expect(page_kept_is_sound(next_kept), "what is kept looks damaged");
    page_keep(next->page, next_kept);
    next->page->timed = 0;
    page_adopt(next->page, next->slots, true, &adoption);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_record *record = &next_kept->records[i];
        struct request request;
        struct client *client;
        if (!(adoption.awaited >> i & 1))
            continue;
        expect(has_process && page_adopt_route(next->page, i, &request, &client) &&
                   client == &next->client,
               "a request is awaited from nobody");
        if (has_process)
            process_adopt_hold(next->page, &next->client, &request, slot_record_word(record),
                               atomic_load(&record->handed));
    }
    expect(adoption.ones == 0, "a request was given up");
}

/* Death now: the requester gets one right answer, and a process acts once. */
static void die_and_recover(void)
{
    static struct process_port next_port;
    struct process_kept kept = process_kept;
    struct channel *next_channel = NULL;
    struct channel_peer next_peer = {0};
    uint32_t acted = executed;
    if (has_process)
        next_client(&next_port, &kept);
    adopt_from(dying->slots, dying->page->kept);
    uint32_t state_before = guest_state(next, 0);
    poller_round(next->poller);
    if (has_process) {
        come_back(&next_channel, &next_peer);
        acted += go_on(&next_peer);
        process_drain(next->page, &next->client);
        expect(acted == 1, acted ? "the process acted twice" : "the process never acted");
        expect(atomic_load(&next_port.quarantines) == 0, "the process was blamed");
        channel_peer_unmap(&next_peer);
        channel_close(next_channel);
    }
    expect(guest_state(next, 0) == SLOT_COMPLETE, "a request was lost");
    expect(guest_value(next, 0) == (has_process ? ANSWER : GUEST_ANSWER), "a wrong answer");
    expect(slot_record_is_idle(&next_kept->records[0]), "a record stays open");
    expect(state_before != SLOT_FREE, "the slot was taken");
}

/* ---- fixtures ------------------------------------------------------------------------------ */

static void begin(struct guest_options options, bool with_process)
{
    steps = 0;
    failure[0] = '\0';
    executed = 0;
    held_token = 0;
    has_process = with_process;
    dying = guest_create(options);
    next = guest_create((struct guest_options){.vcpus = SLOT_COUNT});
    next_kept = aligned_alloc(64, sizeof(*next_kept));
    assert_non_null(next_kept);
    page_kept_init(&dying->page->own, 41);
    if (!with_process)
        return;
    memset(&port, 0, sizeof(port));
    atomic_init(&port.state, PROCESS_ABSENT);
    port.kept = &process_kept;
    port.owner = OWNER;
    dying->client.process = &port;
    assert_int_equal(channel_open(EPOCH, &channel), 0);
    assert_int_equal(
        channel_peer_map(channel->requests_descriptor, channel->answers_descriptor, &peer), 0);
    process_attach(dying->page, &dying->client, channel, NULL, 0, (struct process_resume){0});
}

static void end(void)
{
    assert_true(steps > 50);
    if (has_process) {
        channel_peer_unmap(&peer);
        channel_close(channel);
    }
    free(next_kept);
    dying->client.process = NULL;
    guest_destroy(dying);
    guest_destroy(next);
}

static void run_round(void *poller)
{
    poller_round(poller);
}

static void run_drain(void *guest)
{
    process_drain(((struct guest *)guest)->page, &((struct guest *)guest)->client);
}

static const struct guest_access read_access = {REQUEST_MMIO, REQUEST_READ, GUEST_MMIO + 8, 8, 0};

/* ---- row 44 -------------------------------------------------------------------------------- */

static void row_44_death_at_each_instruction_of_a_device_here(void **state)
{
    (void)state;
    begin((struct guest_options){.vcpus = 1}, false);
    guest_ask(dying, 0, read_access);
    step_through(run_round, dying->poller, die_and_recover);
    assert_int_equal(guest_state(dying, 0), SLOT_COMPLETE);
    end();
}

static void row_44_death_at_each_instruction_of_a_prompt_device(void **state)
{
    (void)state;
    begin((struct guest_options){.vcpus = 1, .is_prompt = true}, false);
    guest_ask(dying, 0, read_access);
    step_through(run_round, dying->poller, die_and_recover);
    assert_int_equal(guest_state(dying, 0), SLOT_COMPLETE);
    end();
}

static void row_44_death_at_each_instruction_of_a_device_elsewhere(void **state)
{
    (void)state;
    begin((struct guest_options){.vcpus = 1, .with_inbox = true}, false);
    assert_int_equal(poller_add_inbox(dying->poller, &dying->client), 0);
    guest_ask(dying, 0, read_access);
    step_through(run_round, dying->poller, die_and_recover); /* there */
    step_through(run_round, dying->poller, die_and_recover); /* and back */
    assert_int_equal(guest_state(dying, 0), SLOT_COMPLETE);
    end();
}

static void row_44_death_at_each_instruction_with_a_process(void **state)
{
    (void)state;
    struct channel_request request;
    begin((struct guest_options){.vcpus = 1}, true);
    guest_ask(dying, 0, read_access);
    step_through(run_round, dying->poller, die_and_recover);
    assert_true(channel_peer_take(&peer, &request));
    executed++;
    held_token = request.token;
    step_through(run_drain, dying, die_and_recover);
    const struct channel_answer answer = {request.token, ANSWER, EPOCH, CHANNEL_ANSWERED};
    channel_peer_answer(&peer, &answer);
    held_token = 0;
    step_through(run_drain, dying, die_and_recover);
    assert_int_equal(guest_state(dying, 0), SLOT_COMPLETE);
    end();
}

static void copy_and_adopt(void *unused)
{
    (void)unused;
    struct page_adoption adoption;
    page_adopt(dying->page, dying->slots, true, &adoption);
}

/* Whatever the first death left, the second one comes at each instruction of the first recovery. */
static void row_44_death_at_each_instruction_of_an_adoption(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 5; round++) {
        begin((struct guest_options){.vcpus = 1}, round == 2 || round == 3);
        struct slot_record *record = &dying->page->records[0];
        guest_ask(dying, 0, read_access);
        record->type = REQUEST_MMIO;
        record->size_bytes = 8;
        record->is_read = true;
        if (round == 0) { /* in a device */
            slot_record_hold(record);
            guest_set_state(dying, 0, SLOT_PROCESSING);
        } else if (round == 1) { /* its answer is known */
            slot_record_hand(record, SLOT_PLACE_HERE, SLOT_NO_OWNER);
            uint64_t ticket = slot_record_open(record);
            guest_set_state(dying, 0, SLOT_PROCESSING);
            assert_true(slot_record_win(record, ticket));
            slot_record_note_answer(record, ticket, GUEST_ANSWER);
        } else if (round == 4) { /* in a prompt device */
            slot_record_hold(record);
        } else { /* in a channel, and from there settled half */
            poller_round(dying->poller);
            assert_int_equal(guest_state(dying, 0), SLOT_PROCESSING);
        }
        if (round == 3)
            assert_true(slot_record_win(record, slot_record_word(record)));
        step_through(copy_and_adopt, NULL, die_and_recover);
        die_and_recover();
        assert_string_equal(failure, "");
        end();
    }
}

struct return_of {
    struct channel *channel;
    struct process_resume resume;
};

static void run_attach(void *argument)
{
    struct return_of *back = argument;
    process_attach(dying->page, &dying->client, back->channel, NULL, 0, back->resume);
}

/* The second server dies while the process registers, which never hears of that: it has what it had, and
 * still calls itself by the epoch of the first. With the request taken, and not. */
static void row_44_death_at_each_instruction_of_a_return(void **state)
{
    (void)state;
    for (uint32_t was_taken = 0; was_taken < 2; was_taken++) {
        struct channel_request request;
        begin((struct guest_options){.vcpus = 1}, true);
        guest_ask(dying, 0, read_access);
        poller_round(dying->poller);
        if (was_taken) {
            assert_true(channel_peer_take(&peer, &request));
            executed++;
            held_token = request.token;
        }
        /* The first one has died; the second one is at work. */
        uint64_t handed = atomic_load(&dying->page->records[0].handed);
        struct request adopted;
        struct client *client;
        struct page_adoption adoption;
        memset(&port, 0, sizeof(port));
        port.kept = &process_kept;
        port.owner = OWNER;
        process_adopt(&dying->client, UINT64_MAX);
        page_adopt(dying->page, dying->slots, true, &adoption);
        assert_int_equal(adoption.awaited, 1);
        assert_true(page_adopt_route(dying->page, 0, &adopted, &client));
        assert_ptr_equal(client, &dying->client);
        process_adopt_hold(dying->page, &dying->client, &adopted,
                           slot_record_word(&dying->page->records[0]), handed);
        struct return_of back = {.resume = {EPOCH, (uint32_t)peer.taken}};
        assert_int_equal(channel_open(EPOCH + 1, &back.channel), 0);
        step_through(run_attach, &back, die_and_recover);
        die_and_recover();
        assert_string_equal(failure, "");
        channel_close(back.channel);
        end();
    }
}

/* A guest that saw its write to 0xcf8 done finds the address, whoever answers next. */
static void recover_pci(void)
{
    static struct page_kept copy;
    memcpy(&copy, dying->page->kept, sizeof(copy));
    expect(page_kept_is_sound(&copy), "what is kept looks damaged");
    page_keep(next->page, &copy);
    memcpy(next->slots, dying->slots, PAGE_BYTES);
    struct page_adoption adoption;
    page_adopt(next->page, next->slots, true, &adoption);
    poller_round(next->poller);
    expect(guest_state(next, 0) == SLOT_COMPLETE, "a request was lost");
    expect(page_pci_address(next->page) == PCI_WORD, "the configuration address was lost");
}

static void row_44_death_at_each_instruction_of_a_configuration_address(void **state)
{
    (void)state;
    begin((struct guest_options){.vcpus = 1}, false);
    dying->page->has_pci = next->page->has_pci = true;
    guest_ask(dying, 0, (struct guest_access){REQUEST_PORTIO, REQUEST_WRITE, 0xcf8, 4, PCI_WORD});
    step_through(run_round, dying->poller, recover_pci);
    end();
}

/* ---- what else is adopted ------------------------------------------------------------------ */

static struct page_adoption adopt_as(struct guest *guest, bool is_believed)
{
    struct page_adoption adoption;
    page_adopt(guest->page, guest->slots, is_believed, &adoption);
    return adoption;
}

static void row_45_slots_of_a_refused_journal_are_answered_with_ones(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 3});
    guest_ask(guest, 0, read_access);
    guest_ask(guest, 1, read_access);
    guest_ask(guest, 2, read_access);
    guest_set_state(guest, 1, SLOT_PROCESSING);
    guest_set_state(guest, 2, SLOT_FREE);
    guest_set_state(guest, 3, SLOT_PROCESSING); /* beyond the vCPUs: nobody's */
    struct page_adoption adoption = adopt_as(guest, false);
    assert_int_equal(adoption.ones, 1);
    assert_int_equal(adoption.pending, 1);
    assert_int_equal(guest_state(guest, 1), SLOT_COMPLETE);
    assert_true(guest_value(guest, 1) == UINT64_MAX);
    assert_int_equal(guest_state(guest, 2), SLOT_FREE);
    assert_int_equal(guest_state(guest, 3), SLOT_PROCESSING);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_true(guest_value(guest, 0) == GUEST_ANSWER);
    guest_destroy(guest);
}

/* Any bit of what a decision hangs on, flipped: nothing is asked again, and nothing is lost. (The lowest
 * makes SETTLING of IN_FLIGHT, which is the same decision.) */
static void row_45_a_record_with_any_bit_flipped_is_not_believed(void **state)
{
    (void)state;
    for (uint32_t bit = 1; bit < 3 * 64; bit++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct slot_record *record = &guest->page->records[0];
        guest_ask(guest, 0, read_access);
        guest_set_state(guest, 0, SLOT_PROCESSING);
        slot_record_hand(record, SLOT_PLACE_TAKEN, OWNER);
        slot_record_open(record);
        assert_true(page_kept_is_sound(guest->page->kept));
        uint64_t flip = 1ull << bit % 64;
        if (bit < 64)
            atomic_fetch_xor(&record->word, flip);
        else if (bit < 128)
            record->begun ^= flip;
        else
            atomic_fetch_xor(&record->handed, flip);
        if (page_kept_is_sound(guest->page->kept))
            fail_msg("bit %u is believed", bit);
        struct page_adoption adoption = adopt_as(guest, true);
        assert_int_equal(adoption.ones, 1);
        assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
        assert_true(guest_value(guest, 0) == UINT64_MAX);
        assert_true(page_kept_is_sound(guest->page->kept));
        guest_destroy(guest);
    }
}

/* Its vCPU sleeps: whoever completed the slot may have died before it said so. */
static void a_slot_that_was_complete_is_told_of_again(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 3});
    for (uint32_t i = 0; i < 3; i++) {
        guest_ask(guest, i, read_access);
        guest->slots[i].completion_polling = i == 0;
        guest_set_state(guest, i, i == 2 ? SLOT_PROCESSING : SLOT_COMPLETE);
    }
    adopt_as(guest, false);
    assert_int_equal(atomic_load(&guest->page->notify.due), 6);
    guest_destroy(guest);
}

static void zeroes_are_not_believed(void **state)
{
    (void)state;
    static struct page_kept zero;
    assert_false(page_kept_is_sound(&zero));
}

/* A request came anew while the dead server had the slot: a reset. The old ticket wins nothing. */
static void a_slot_that_was_asked_again_is_a_new_request(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    struct slot_record *record = &guest->page->records[0];
    slot_record_hand(record, SLOT_PLACE_HERE, SLOT_NO_OWNER);
    uint64_t ticket = slot_record_open(record);
    guest_ask(guest, 0, read_access);
    assert_int_equal(adopt_as(guest, true).pending, 1);
    assert_false(page_settle(guest->page, 0, ticket, 0));
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    guest_destroy(guest);
}

int main(void)
{
    if (strcmp(IOREQD_SANITIZE, "thread") == 0) {
        printf("skip: the thread sanitizer holds signals back, and each step is one\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_45_slots_of_a_refused_journal_are_answered_with_ones),
        cmocka_unit_test(row_45_a_record_with_any_bit_flipped_is_not_believed),
        cmocka_unit_test(a_slot_that_was_complete_is_told_of_again),
        cmocka_unit_test(zeroes_are_not_believed),
        cmocka_unit_test(a_slot_that_was_asked_again_is_a_new_request),
        cmocka_unit_test(row_44_death_at_each_instruction_of_a_device_here),
        cmocka_unit_test(row_44_death_at_each_instruction_of_a_prompt_device),
        cmocka_unit_test(row_44_death_at_each_instruction_of_a_device_elsewhere),
        cmocka_unit_test(row_44_death_at_each_instruction_with_a_process),
        cmocka_unit_test(row_44_death_at_each_instruction_of_an_adoption),
        cmocka_unit_test(row_44_death_at_each_instruction_of_a_return),
        cmocka_unit_test(row_44_death_at_each_instruction_of_a_configuration_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
