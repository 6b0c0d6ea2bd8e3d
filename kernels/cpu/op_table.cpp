#include "kernels/cpu/ops.h"

#define PENSTOCK_NAME_OF(isa) #isa
#define PENSTOCK_NAME(isa) PENSTOCK_NAME_OF(isa)

namespace penstock::cpu::PENSTOCK_ISA {

extern const Ops table;
const Ops table = {.name = PENSTOCK_NAME(PENSTOCK_ISA),
                   .embed = embed,
                   .matmul = matmul,
                   .rms_norm = rms_norm,
                   .add_rms_norm = add_rms_norm,
                   .qk_norm_rope_store = qk_norm_rope_store,
                   .paged_attention = paged_attention,
                   .gated_mul = gated_mul,
                   .soft_cap = soft_cap,
                   .gather_rows = gather_rows,
                   .sample = sample,
                   .score = score,
                   .find_candidates = find_candidates,
                   .choose_candidates = choose_candidates,
                   .copy_blocks = copy_blocks,
                   .multiply_add = multiply_add,
                   .read_memory = read_memory};

}  // namespace penstock::cpu::PENSTOCK_ISA
