// Which instructions this CPU and this operating system run.
#pragma once

#include "core/engine.hpp"

namespace rerank {

// Returns null where the CPU has all instructions of the set, else the first that it lacks, in words.
inline const char* missing_instructions(InstructionSet set) {
    if (set == InstructionSet::kPortable) return nullptr;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) return "this CPU has no AVX2 (avx2)";
    if (!__builtin_cpu_supports("fma")) return "this CPU lacks FMA (fma)";
    if (set == InstructionSet::kAvx2) return nullptr;
    if (!__builtin_cpu_supports("avx512f")) return "this CPU has no AVX-512 (avx512f)";
    if (!__builtin_cpu_supports("avx512bw"))
        return "this CPU lacks the AVX-512 instructions on bytes (avx512bw)";
    if (!__builtin_cpu_supports("avx512dq")) return "this CPU lacks AVX-512 DQ (avx512dq)";
    if (!__builtin_cpu_supports("avx512vl")) return "this CPU lacks AVX-512 VL (avx512vl)";
    if (!__builtin_cpu_supports("avx512vnni"))
        return "this CPU lacks the int8 products of AVX-512 (avx512vnni)";
    if (set == InstructionSet::kAvx512) return nullptr;
    if (!__builtin_cpu_supports("avx512bf16"))
        return "this CPU lacks the bf16 products of AVX-512 (avx512bf16)";
    return nullptr;
}

}  // namespace rerank
