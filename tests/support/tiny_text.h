// A model folder's text half, small enough to know by heart: one token a byte of ASCII, and of é.
#pragma once
#include <string>

#include "engine/json.h"
#include "engine/model/model_folder.h"

namespace penstock::tests {

// Ids: <s> 0, </s> 1, then '!' 2 … '~' 95, space 96, newline 97, the bytes of é 98 and 99, "ab" 100.
inline int32_t tiny_id(char c) { return c == ' ' ? 96 : c == '\n' ? 97 : c - '!' + 2; }
inline std::vector<int32_t> tiny_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (char c : text) ids.push_back(tiny_id(c));
  return ids;
}

inline std::string tiny_tokenizer(bool adds_bos) {
  Json vocab = {{"<s>", 0}, {"</s>", 1}, {"Ġ", 96}, {"Ċ", 97}, {"Ã", 98}, {"©", 99}, {"ab", 100}};
  for (char c = '!'; c <= '~'; ++c) vocab[std::string(1, c)] = tiny_id(c);
  auto added = [](int id, const char* content) {
    return Json{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  Json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  Json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  Json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  Json post = {{"type", "TemplateProcessing"},
               {"single", Json::array({bos, text})},
               {"pair", Json::array({bos, text, second})},
               {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {0}}, {"tokens", {"<s>"}}}}}}};
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"vocab", vocab},
                {"merges", Json::array({"a b"})}};
  return Json{{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens", Json::array({added(0, "<s>"), added(1, "</s>")})},
              {"normalizer", nullptr},
              {"pre_tokenizer", bytes},
              {"post_processor", adds_bos ? post : Json()},
              {"decoder", bytes},
              {"model", model}}
      .dump();
}

// A template that prints "<s>role:content;" for each message, and "assistant:" for the generation prompt.
inline const char* const kTinyTemplate =
    "{% for m in messages %}{{ bos_token }}{{ m.role }}:{{ m.content }};{% endfor %}"
    "{% if tools %}tools={{ tools | length }};{% endif %}{% if add_generation_prompt %}assistant:{% endif %}";

inline ModelFolder tiny_folder(bool adds_bos = false) {
  ModelFolder folder;
  folder.path = "tiny";
  folder.tokenizer = tiny_tokenizer(adds_bos);
  folder.tokenizer_config =
      Json{{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}, {"chat_template", kTinyTemplate}}.dump();
  return folder;
}

}  // namespace penstock::tests
