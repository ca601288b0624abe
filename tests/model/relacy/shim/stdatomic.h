/* SPDX-License-Identifier: BSD-3-Clause */
/* <stdatomic.h> of the code under test: relacy_c.h has it all. */
