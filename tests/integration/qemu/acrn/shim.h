/* SPDX-License-Identifier: BSD-3-Clause */
/* Dual licence: as a part of a kernel also GPL-2.0-only. */
/*
 * shim.h - forced in before every file of Linux's ACRN driver, which is built at test time: its
 * hypercalls, its upcall and its question which hypervisor this is go to acrn_sim.c instead.
 *
 * Flow:    ccflags-y := -include .../shim.h; <asm/acrn.h> is replaced as a whole.
 */
#ifndef ACRN_SIM_SHIM_H
#define ACRN_SIM_SHIM_H

#include <linux/types.h>
#include <asm/hypervisor.h>
#include <asm/processor.h>

#define _ASM_X86_ACRN_H

#define ACRN_CPUID_FEATURES        0x40000001
#define ACRN_FEATURE_PRIVILEGED_VM 1u

#define x86_hyper_type X86_HYPER_ACRN
#define cpuid_eax(leaf) ((leaf) == ACRN_CPUID_FEATURES ? ACRN_FEATURE_PRIVILEGED_VM : 0)

long acrn_sim_hypercall(unsigned long number, unsigned long first, unsigned long second);
void acrn_sim_set_upcall(void (*handler)(void));

#define acrn_setup_intr_handler(handler) acrn_sim_set_upcall(handler)
#define acrn_remove_intr_handler()       acrn_sim_set_upcall(NULL)

static inline long acrn_hypercall0(unsigned long number)
{
    return acrn_sim_hypercall(number, 0, 0);
}

static inline long acrn_hypercall1(unsigned long number, unsigned long first)
{
    return acrn_sim_hypercall(number, first, 0);
}

static inline long acrn_hypercall2(unsigned long number, unsigned long first, unsigned long second)
{
    return acrn_sim_hypercall(number, first, second);
}

#endif
