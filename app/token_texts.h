// The texts of single tokens, and of prompts, as answers with log-probabilities and echo show them.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/completion.h"
#include "engine/text/tokenizer.h"

namespace penstock {

// What `id` adds after the token `before`: some decoders treat the first token of a text otherwise (they strip its
// space). Special tokens show, too.
TokenText token_text(const Tokenizer& tokenizer, std::optional<int32_t> before, int32_t id);

// The text that `ids` are as the sequel of a text that ends with the token `before`: `alone`, or with what a decoder
// takes off the front of a text.
std::string sequel_text(const Tokenizer& tokenizer, int32_t before, std::span<const int32_t> ids,
                        const std::string& alone);

// Where each of `ids` begins in their common text, in characters. Special tokens have no width.
std::vector<int64_t> token_offsets(const Tokenizer& tokenizer, std::span<const int32_t> ids);

// The same in sequel_text, whose first token has what the decoder takes off.
std::vector<int64_t> sequel_offsets(const Tokenizer& tokenizer, int32_t before, std::span<const int32_t> ids);

int64_t count_characters(std::string_view text);

}  // namespace penstock
