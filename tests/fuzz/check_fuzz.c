/* SPDX-License-Identifier: BSD-3-Clause */
/* A slot's words, any words: what request_check lets through keeps every promise of request.h. */
#include "pollers/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct slot_copy copy = {0};
    memcpy(&copy, bytes, size < sizeof(copy) ? size : sizeof(copy));
    struct request request = {0};
    enum request_fault fault = request_check(&copy, &request);
    assert(fault < REQUEST_FAULT_COUNT);
    if (fault != REQUEST_FAULT_NONE) {
        uint64_t answer = request_fault_answer(fault, copy.size_bytes);
        assert(answer == 0 || (answer & 0xff) == 0xff);
        return 0;
    }
    assert(request.type < REQUEST_TYPE_COUNT && request.direction <= REQUEST_WRITE);
    assert(request.size_bytes == 1 || request.size_bytes == 2 || request.size_bytes == 4 ||
           request.size_bytes == 8);
    assert((request.value & ~request_ones(request.size_bytes)) == 0);
    assert(request.address + (request.size_bytes - 1u) >= request.address);
    if (request.type == REQUEST_PORTIO)
        assert(request.address + (request.size_bytes - 1u) <= PORT_LAST);
    if (request.type == REQUEST_PCICFG)
        assert(request.address + (request.size_bytes - 1u) < 256u << 20);
    return 0;
}
