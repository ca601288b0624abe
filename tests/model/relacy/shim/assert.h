/* SPDX-License-Identifier: BSD-3-Clause */
/* <assert.h> of the code under test: relacy_c.h has it all. */
