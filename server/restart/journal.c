/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/restart/journal.h"

#include "pollers/memory.h"
#include "pollers/page_adopt.h"
#include "pollers/ticks.h"
#include "server/restart/checksum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAGIC 0x6c6e726a7165726full /* "oreqjrnl" */
#define VMS_MAX       64u
#define OWNERS_MAX    255u
#define HEAD_BYTES    (4u * 4096u)
#define VM_BYTES      4096u
#define JOURNAL_BYTES (HEAD_BYTES + VMS_MAX * VM_BYTES)
#define JOURNAL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEQUENCE_BITS 48 /* random; they fit a token with room to count on */

/* Written once, before anybody is told of the file. */
struct journal_head {
    uint64_t magic;
    uint32_t version, size_bytes, record_bytes, vm_bytes;
    uint64_t sequence; /* where tickets begin */
    uint64_t ticks_per_second;
    uint64_t check; /* of all before */
};

/* The check is stored last when an entry is made, and goes first when it is forgotten: 0, free. */
struct journal_process {
    struct process_kept kept;
    char vm[CLIENT_NAME_MAX + 1], client[CLIENT_NAME_MAX + 1];
    _Atomic uint64_t check;
};

struct journal_first {
    struct journal_head head;
    struct journal_process processes[OWNERS_MAX];
};

struct journal_vm {
    struct page_kept kept; /* first: it is known by its address */
    char name[CLIENT_NAME_MAX + 1];
    uint32_t vcpu_count;
    _Atomic uint64_t check;
    _Atomic uint64_t note; /* the requester's pid, whether paused, and a check on top */
};

_Static_assert(sizeof(struct journal_first) <= HEAD_BYTES, "whole pages");
_Static_assert(sizeof(struct journal_vm) <= VM_BYTES, "a page");

struct journal {
    int descriptor;
    struct journal_first *first;
    struct journal_vm *vms[VMS_MAX];                             /* NULL: not mapped */
    bool is_claimed_vm[VMS_MAX], is_claimed_process[OWNERS_MAX]; /* by this ioreqd */
};

static uint64_t head_sum(const struct journal_head *head)
{
    return checksum(head, offsetof(struct journal_head, check), JOURNAL_VERSION);
}

static uint64_t process_sum(const struct journal_process *process)
{
    return checksum(process->vm, sizeof(process->vm) + sizeof(process->client), 2);
}

static uint64_t vm_sum(const struct journal_vm *vm)
{
    return checksum(vm->name, sizeof(vm->name) + sizeof(vm->vcpu_count), 3);
}

/* ---- the file ---------------------------------------------------------------------------- */

static void *map(const struct journal *journal, size_t offset, size_t size_bytes)
{
    void *mapping = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                         journal->descriptor, (off_t)offset);
    return mapping == MAP_FAILED ? NULL : mapping;
}

static struct journal_vm *map_vm(struct journal *journal, uint32_t index, int node)
{
    struct memory_policy policy;
    memory_policy_push(node, &policy);
    if (!journal->vms[index])
        journal->vms[index] = map(journal, HEAD_BYTES + (size_t)index * VM_BYTES, VM_BYTES);
    memory_policy_pop(&policy);
    return journal->vms[index];
}

static void unmap_vm(struct journal *journal, uint32_t index)
{
    if (journal->vms[index])
        munmap(journal->vms[index], VM_BYTES);
    journal->vms[index] = NULL;
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    for (uint32_t i = 0; i < VMS_MAX; i++)
        unmap_vm(journal, i);
    if (journal->first)
        munmap(journal->first, HEAD_BYTES);
    if (journal->descriptor >= 0)
        close(journal->descriptor);
    free(journal);
}

int journal_descriptor(const struct journal *journal)
{
    return journal->descriptor;
}

static int write_head(struct journal *journal)
{
    uint64_t sequence = 0;
    if (getrandom(&sequence, sizeof(sequence), 0) != sizeof(sequence))
        return -EIO;
    struct journal_head *head = &journal->first->head;
    *head = (struct journal_head){
        .magic = JOURNAL_MAGIC,
        .version = JOURNAL_VERSION,
        .size_bytes = JOURNAL_BYTES,
        .record_bytes = sizeof(struct slot_record),
        .vm_bytes = sizeof(struct journal_vm),
        .sequence = sequence >> (64 - SEQUENCE_BITS),
        .ticks_per_second = ticks_per_second(),
    };
    head->check = head_sum(head);
    return 0;
}

int journal_create(struct journal **journal)
{
    struct journal *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->descriptor = memfd_create("ioreqd-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result = created->descriptor < 0 ? -errno : 0;
    if (result == 0 && (ftruncate(created->descriptor, JOURNAL_BYTES) < 0 ||
                        fcntl(created->descriptor, F_ADD_SEALS, JOURNAL_SEALS) < 0))
        result = -errno;
    if (result == 0) {
        created->first = map(created, 0, HEAD_BYTES);
        result = created->first ? write_head(created) : -ENOMEM;
    }
    if (result < 0) {
        journal_close(created);
        return result;
    }
    *journal = created;
    return 0;
}

/* ---- an earlier one ---------------------------------------------------------------------- */

static const char *check_file(int descriptor)
{
    struct stat file;
    int seals = fcntl(descriptor, F_GET_SEALS);
    if (fstat(descriptor, &file) < 0 || !S_ISREG(file.st_mode) || seals < 0)
        return "it is no memory file";
    if (file.st_size != JOURNAL_BYTES)
        return "it is cut, or of another version";
    return seals & F_SEAL_SHRINK ? NULL : "its size is not sealed";
}

static const char *check_head(const struct journal_head *head)
{
    if (head->magic == 0)
        return "it is empty";
    if (head->magic != JOURNAL_MAGIC)
        return "it is no journal";
    if (head->version != JOURNAL_VERSION)
        return "it is of another version";
    if (head->check != head_sum(head))
        return "its header is damaged";
    if (head->size_bytes != JOURNAL_BYTES || head->record_bytes != sizeof(struct slot_record) ||
        head->vm_bytes != sizeof(struct journal_vm))
        return "it is of another build";
    return NULL;
}

static const char *check_processes(const struct journal_first *first)
{
    for (uint32_t i = 0; i < OWNERS_MAX; i++) {
        const struct journal_process *process = &first->processes[i];
        uint64_t check = atomic_load_explicit(&process->check, memory_order_relaxed);
        struct process_kept_words words;
        if (check && (check != process_sum(process) || !process_kept_get(&process->kept, &words)))
            return "what it says of a client is damaged";
    }
    return NULL;
}

static const char *check_vm(const struct journal_vm *vm)
{
    uint64_t check = atomic_load_explicit(&vm->check, memory_order_relaxed);
    if (!check)
        return NULL;
    if (check != vm_sum(vm) || memchr(vm->name, '\0', sizeof(vm->name)) == NULL)
        return "what it says of a VM is damaged";
    return page_kept_is_sound(&vm->kept) ? NULL : "a slot's record is damaged";
}

static const char *check_all(struct journal *journal)
{
    const char *reason = check_head(&journal->first->head);
    if (!reason)
        reason = check_processes(journal->first);
    for (uint32_t i = 0; i < VMS_MAX && !reason; i++) {
        const struct journal_vm *vm = map_vm(journal, i, MEMORY_ANY_NODE);
        reason = vm ? check_vm(vm) : "no memory";
        if (vm && !atomic_load_explicit(&vm->check, memory_order_relaxed))
            unmap_vm(journal, i);
    }
    return reason;
}

uint64_t journal_read_rate(int descriptor)
{
    struct journal_head head;
    bool is_there = pread(descriptor, &head, sizeof(head), 0) == (ssize_t)sizeof(head);
    return is_there && !check_head(&head) ? head.ticks_per_second : 0;
}

int journal_open(int descriptor, struct journal **journal, char *reason, size_t reason_bytes)
{
    struct journal *opened = calloc(1, sizeof(*opened));
    const char *wrong = opened ? check_file(descriptor) : "no memory";
    if (!opened) {
        close(descriptor);
    } else {
        opened->descriptor = descriptor;
        if (!wrong) {
            opened->first = map(opened, 0, HEAD_BYTES);
            wrong = opened->first ? check_all(opened) : "no memory";
        }
    }
    if (wrong) {
        snprintf(reason, reason_bytes, "%s", wrong);
        journal_close(opened);
        return -EBADMSG;
    }
    *journal = opened;
    return 0;
}

/* ---- VMs --------------------------------------------------------------------------------- */

static struct journal_vm *vm_of(const struct page_kept *kept)
{
    return (struct journal_vm *)(uintptr_t)kept;
}

struct page_kept *journal_find_vm(struct journal *journal, const char *name, uint32_t vcpu_count,
                                  int node)
{
    (void)node; /* it is where it is */
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        struct journal_vm *vm = journal->vms[i];
        if (vm && atomic_load_explicit(&vm->check, memory_order_relaxed) &&
            vm->vcpu_count == vcpu_count && strcmp(vm->name, name) == 0) {
            journal->is_claimed_vm[i] = true;
            return &vm->kept;
        }
    }
    return NULL;
}

struct page_kept *journal_add_vm(struct journal *journal, const char *name, uint32_t vcpu_count,
                                 int node)
{
    for (uint32_t i = 0; i < VMS_MAX; i++) {
        if (journal->vms[i])
            continue;
        struct journal_vm *vm = map_vm(journal, i, node);
        if (!vm)
            return NULL;
        page_kept_init(&vm->kept, journal->first->head.sequence);
        memset(vm->name, 0, sizeof(vm->name));
        snprintf(vm->name, sizeof(vm->name), "%s", name);
        vm->vcpu_count = vcpu_count;
        journal_note_vm(&vm->kept, 0, false);
        /* Release: whoever finds the check finds the rest. */
        atomic_store_explicit(&vm->check, vm_sum(vm), memory_order_release);
        journal->is_claimed_vm[i] = true;
        return &vm->kept;
    }
    return NULL;
}

static void forget_vm_at(struct journal *journal, uint32_t index)
{
    atomic_store_explicit(&journal->vms[index]->check, 0, memory_order_relaxed);
    unmap_vm(journal, index);
    journal->is_claimed_vm[index] = false;
}

void journal_forget_vm(struct journal *journal, struct page_kept *kept)
{
    for (uint32_t i = 0; journal && kept && i < VMS_MAX; i++)
        if (journal->vms[i] == vm_of(kept))
            forget_vm_at(journal, i);
}

void journal_note_vm(struct page_kept *kept, pid_t requester_pid, bool is_paused)
{
    uint64_t low = (uint64_t)is_paused << 32 | (uint32_t)requester_pid;
    atomic_store_explicit(&vm_of(kept)->note, slot_record_mix(low, 4) << 40 | low,
                          memory_order_relaxed);
}

void journal_read_vm(const struct page_kept *kept, pid_t *requester_pid, bool *is_paused)
{
    uint64_t note = atomic_load_explicit(&vm_of(kept)->note, memory_order_relaxed);
    uint64_t low = note & 0x1ffffffffull;
    bool is_sound = note == (slot_record_mix(low, 4) << 40 | low);
    *requester_pid = is_sound ? (pid_t)(uint32_t)low : 0;
    *is_paused = is_sound && low >> 32;
}

/* ---- clients that are processes ---------------------------------------------------------- */

struct process_kept *journal_add_process(struct journal *journal, const char *vm,
                                         const char *client, uint32_t *owner)
{
    struct journal_process *unused = NULL;
    *owner = SLOT_NO_OWNER;
    for (uint32_t i = 0; i < OWNERS_MAX; i++) {
        struct journal_process *process = &journal->first->processes[i];
        if (!atomic_load_explicit(&process->check, memory_order_relaxed)) {
            unused = unused ? unused : process;
        } else if (strcmp(process->vm, vm) == 0 && strcmp(process->client, client) == 0) {
            *owner = i + 1;
            journal->is_claimed_process[i] = true;
            return &process->kept;
        }
    }
    if (!unused)
        return NULL;
    memset(unused->vm, 0, sizeof(unused->vm) + sizeof(unused->client));
    snprintf(unused->vm, sizeof(unused->vm), "%s", vm);
    snprintf(unused->client, sizeof(unused->client), "%s", client);
    process_kept_set(&unused->kept, (struct process_kept_words){0});
    /* Release: as of a VM. */
    atomic_store_explicit(&unused->check, process_sum(unused), memory_order_release);
    *owner = (uint32_t)(unused - journal->first->processes) + 1;
    journal->is_claimed_process[*owner - 1] = true;
    return &unused->kept;
}

void journal_forget_process(struct journal *journal, uint32_t owner)
{
    if (owner != SLOT_NO_OWNER)
        atomic_store_explicit(&journal->first->processes[owner - 1].check, 0, memory_order_relaxed);
}

/* ---- of nobody any more ------------------------------------------------------------------ */

void journal_forget_unclaimed(struct journal *journal)
{
    for (uint32_t i = 0; i < VMS_MAX; i++)
        if (journal->vms[i] && !journal->is_claimed_vm[i])
            forget_vm_at(journal, i);
    for (uint32_t i = 0; i < OWNERS_MAX; i++)
        if (!journal->is_claimed_process[i])
            journal_forget_process(journal, i + 1);
}
