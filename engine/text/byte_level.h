// GPT-2's way of cutting text into words.
#pragma once
#include "engine/text/pre_tokenizer.h"

namespace penstock::text {

// The matches of 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ in a piece. They cover it.
void split_like_gpt2(const Piece& piece, PieceSink sink);

}  // namespace penstock::text
