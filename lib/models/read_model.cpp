#include "lib/models/read_model.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "lib/error.hpp"
#include "lib/models/gguf_settings.hpp"
#include "lib/models/rows.hpp"
#include "lib/models/tree.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Kind = Value::Kind;
constexpr std::string_view full = "full_attention", sliding = "sliding_attention";

/// Model types whose configuration holds those of a text and a vision model.
constexpr std::array wrappers{
    Wrapper{"gemma3", "gemma3_text", "siglip_vision_model"},
    Wrapper{"gemma4", "gemma4_text", ""},
    Wrapper{"qwen2_vl", "qwen2_vl_text", ""},
    Wrapper{"qwen2_5_vl", "qwen2_5_vl_text", ""},
    Wrapper{"qwen3_vl", "qwen3_vl_text", ""},
    Wrapper{"qwen3_vl_moe", "qwen3_vl_moe_text", ""},
    Wrapper{"qwen3_5", "qwen3_5_text", ""},
    Wrapper{"qwen3_5_moe", "qwen3_5_moe_text", ""},
    Wrapper{"llama4", "llama4_text", ""},
    Wrapper{"llava", "llama", "clip_vision_model"},
    Wrapper{"llava_next", "llama", "clip_vision_model"},
    Wrapper{"vipllava", "llama", "clip_vision_model"},
    Wrapper{"mistral3", "mistral", ""},
    Wrapper{"paligemma", "gemma", "siglip_vision_model"},
    Wrapper{"idefics3", "llama", ""},
    Wrapper{"smolvlm", "llama", ""},
    Wrapper{"fuyu", "persimmon", ""},
    Wrapper{"clip", "clip_text_model", "clip_vision_model"},
    Wrapper{"siglip", "siglip_text_model", "siglip_vision_model"},
};

std::vector<const Architecture*> rows_of(std::string_view type) {
    std::vector<const Architecture*> out;
    for (const Architecture& a : all_architectures())
        if (a.type == type) out.push_back(&a);
    return out;
}

/// What a stack of a folder is read by.
struct Stack {
    Config config;
    std::vector<const Architecture*> rows;   ///< of its type and stack
    std::unique_ptr<GgufSettings> settings;  ///< what `config` reads, where it is no config.json
};

[[noreturn]] void refuse_type(const std::string& type, const std::string& pointer) {
    std::vector<std::string_view> names;
    for (const Architecture& a : all_architectures())
        if (names.empty() || names.back() != a.type) names.push_back(a.type);
    std::string near;
    for (const std::string_view name : near_names(type, names, 4))
        near += (near.empty() ? "" : ", ") + std::string(name);
    if (pointer.empty())
        fail_usage(option::as_type + " " + type + ": there is no such model type", "nearest: " + near);
    fail(pointer, "is " + shown(type) + ", a model type that is not known",
         "nearest: " + near + "; " + option::as_type +
             " TYPE reads it as one of them (docs/models.md lists all)");
}

/// The only stack of a GGUF file.
Stack stack_of_gguf(const ModelFolder& file, const LayerAsk& ask) {
    static const std::map<std::string_view, Architecture> rows = [] {
        std::map<std::string_view, Architecture> out;
        for (const GgufRow& row : all_gguf_rows()) out.emplace(row.name, architecture_of(row));
        return out;
    }();
    const std::string name = ask.as.empty() ? gguf_architecture(file) : ask.as;
    const auto row = rows.find(name);
    if (row == rows.end()) {
        std::string known;
        for (const GgufRow& r : all_gguf_rows()) known += (known.empty() ? "" : ", ") + std::string(r.name);
        if (!ask.as.empty())
            fail_usage(
                option::as_type + " " + visible(name) + ": there is no such architecture of GGUF files",
                "known: " + known);
        fail("/general.architecture", "is " + shown(name) + ", an architecture that is not known",
             "known: " + known + "; " + option::as_type + " NAME reads it as one of them");
    }
    if (!ask.stack.empty() && ask.stack != row->second.stack)
        fail_usage(option::stack + " " + visible(ask.stack) + ": a GGUF file has only one stack, text",
                   option::stack + " text");
    auto settings = std::make_unique<GgufSettings>(read_gguf_settings(file, ask.layer));
    Config config(settings->config, "", &settings->said);
    return {std::move(config), {&row->second}, std::move(settings)};
}

Stack stack_of(const ModelFolder& folder, const LayerAsk& ask) {
    if (folder.metadata()) return stack_of_gguf(folder, ask);
    const Value& root = folder.config();
    const Value* own_type = root.find("model_type");
    const std::string top = own_type && own_type->kind == Kind::string ? own_type->text : "";
    const auto wrapper =
        std::find_if(wrappers.begin(), wrappers.end(), [&](const Wrapper& w) { return w.type == top; });
    const auto object = [&](std::string_view name) {
        const Value* v = root.find(name);
        return v && v->kind == Kind::object ? v : nullptr;
    };
    const bool vision = ask.stack == "vision";
    const std::string under = vision && object("vision_config")                          ? "vision_config"
                              : !vision && object("text_config") && ask.stack != "audio" ? "text_config"
                                                                                         : "";
    const Value& config = under.empty() ? root : *object(under);
    std::string type = top, pointer = "/model_type";
    if (!under.empty()) {
        const Value* inner = config.find("model_type");
        if (inner && inner->kind == Kind::string) {
            type = inner->text;
            pointer = "/" + under + "/model_type";
        } else if (wrapper != wrappers.end()) {
            type = vision ? wrapper->vision : wrapper->text;
        }
    } else if (wrapper != wrappers.end() && rows_of(top).empty()) {
        type = vision ? wrapper->vision : wrapper->text;
    }
    if (!ask.as.empty()) {
        type = ask.as;
        pointer = "";
    } else if (type.empty() && !own_type) {
        fail("", "has no \"model_type\" in config.json",
             option::as_type + " TYPE says how to read it (docs/models.md lists all)");
    }
    const std::vector<const Architecture*> all = rows_of(type);
    if (all.empty()) refuse_type(type, pointer);
    std::vector<std::string> stacks;
    for (const Architecture* a : all)
        if (std::find(stacks.begin(), stacks.end(), a->stack) == stacks.end()) stacks.emplace_back(a->stack);
    std::string stack = ask.stack;
    if (stack.empty()) stack = stacks.size() == 1 ? stacks.front() : "text";
    std::string list;
    for (const std::string& s : stacks) list += (list.empty() ? "" : ", ") + s;
    if (std::find(stacks.begin(), stacks.end(), stack) == stacks.end()) {
        if (ask.stack.empty())
            fail_usage("the model has several stacks (" + list + "): " + option::stack + " says which one",
                       option::stack + " " + stacks.front());
        fail_usage(option::stack + " " + visible(ask.stack) + ": " + type + " has " +
                       (stacks.size() == 1 ? "only one stack, " : "the stacks ") + list,
                   option::stack + " " + stacks.front());
    }
    Stack out{Config(config, under), {}, nullptr};
    for (const Architecture* a : all)
        if (a->stack == stack) out.rows.push_back(a);
    return out;
}

/// Whether a list of a configuration marks the layer, with what it calls it.
std::optional<Value> entry_of(const ConfigKey& list, Index layer) {
    const std::vector<Value> items = Config::list_of(list);
    if (items.size() <= static_cast<std::size_t>(layer))
        fail(list.pointer(), "has " + how_many(static_cast<Index>(items.size()), "entry", "entries") +
                                 ", and layer " + std::to_string(layer) + " is asked for");
    return items[static_cast<std::size_t>(layer)];
}

/// The words of GPT-Neo's attention_types, [[["global", "local"], 12]], one for each layer.
std::string unrolled(const ConfigKey& types, Index layer) {
    Index first = 0;
    for (const Value& group : Config::list_of(types)) {
        const bool good = group.kind == Kind::array && group.items.size() == 2 &&
                          group.items[0].kind == Kind::array && !group.items[0].items.empty() &&
                          group.items[1].kind == Kind::integer;
        if (!good) fail(types.pointer(), "is not a list of [words, times]");
        const auto n = static_cast<Index>(group.items[0].items.size());
        if (layer < first + n * group.items[1].integer)
            return group.items[0].items[static_cast<std::size_t>((layer - first) % n)].text;
        first += n * group.items[1].integer;
    }
    fail(types.pointer(), "has no entry for layer " + std::to_string(layer));
}

/// What a layer is where `layer_types` does not say it.
std::string kind_by_rule(const Config& config, const Architecture& row, Index layer) {
    if (row.kind_of)
        if (const std::string_view kind = row.kind_of(config, layer); !kind.empty()) return std::string(kind);
    const ConfigKey window = config.find(row.window_keys);
    const bool has_window = window ? !window.is_null() : row.window > 0;
    const auto pattern = [&]() -> Index {
        const auto n = row.pattern_keys.empty() ? std::nullopt : config.integer(row.pattern_keys, 1);
        return n ? n->value : row.pattern;
    };
    const auto slides = [&] {
        switch (row.windows) {
            case WindowRule::none:
                return false;
            case WindowRule::every:
            case WindowRule::unless_listed:
                return has_window;
            case WindowRule::from_layer: {
                const auto use = config.boolean("use_sliding_window");
                return use && use->value && has_window && layer >= pattern();
            }
            case WindowRule::all_but: {
                if (!has_window) return false;
                const ConfigKey letters =
                    row.pattern_keys.empty() ? ConfigKey{} : config.given(row.pattern_keys);
                if (letters && letters.value->kind == Kind::string && !letters.value->text.empty()) {
                    const std::string& text = letters.value->text;
                    return text[static_cast<std::size_t>(layer) % text.size()] == 'L' && layer + 1 != [&] {
                        const auto n = config.integer(row.layers_keys, 1);
                        return n ? n->value : 0;
                    }();
                }
                return (layer + 1) % pattern() != 0;
            }
            case WindowRule::first_of:
                return layer % pattern() != 0;
            case WindowRule::unrolled: {
                const ConfigKey types = config.given("attention_types"),
                                layers = config.given("attention_layers");
                if (types) return unrolled(types, layer) == "local";
                return layers ? entry_of(layers, layer)->text == "local" : layer % 2 == 1;
            }
            case WindowRule::listed: {
                const ConfigKey list = config.given(row.pattern_keys);
                return list ? entry_of(list, layer)->integer == 1
                            : layer != 0 && (layer + 1) % row.pattern != 0;
            }
        }
        return false;
    };
    return std::string(row.windows == WindowRule::none && !row.kind_of ? "" : slides() ? sliding : full);
}

std::string kind_of_layer(const Config& config, const Architecture& row, Index layer) {
    const ConfigKey types = config.given("layer_types");
    const bool every =
        row.windows == WindowRule::every;  // the window is in every layer, whatever a list says
    if (!types || every || Config::list_of(types).empty()) return kind_by_rule(config, row, layer);
    const Value entry = *entry_of(types, layer);
    if (entry.kind != Kind::string) fail(types.pointer(), "is no list of words");
    if (entry.text == "attention" || entry.text == "global_attention") return std::string(full);
    if (entry.text == "local_attention") return std::string(sliding);
    return entry.text;
}

/// The row of a layer's kind. \throws NoAttention
const Architecture& row_for(const Stack& stack, const std::string& kind, Index layer) {
    const Architecture* plain = nullptr;
    for (const Architecture* a : stack.rows) {
        if (!a->kind.empty() && a->kind == kind) return *a;
        if (a->kind.empty()) plain = a;
    }
    constexpr std::array plain_kinds{std::string_view(""), full, sliding,
                                     std::string_view("chunked_attention")};
    const bool known = std::find(plain_kinds.begin(), plain_kinds.end(), kind) != plain_kinds.end();
    if (!plain || !known)
        throw NoAttention(Exit::input, "",
                          "has a layer " + std::to_string(layer) + " of the kind " + shown(kind) +
                              ", which is no attention that is read here");
    if (plain->windows == WindowRule::none && !plain->kind_of && kind == sliding)
        fail("/layer_types", "says that layer " + std::to_string(layer) + " slides, but " +
                                 std::string(plain->type) + " has no windows");
    return *plain;
}

}  // namespace

std::span<const Wrapper> all_wrappers() { return wrappers; }

std::span<const Architecture> all_architectures() {
    static const std::vector<Architecture> rows = [] {
        std::vector<Architecture> out;
        add_llamas(out);
        add_later_decoders(out);
        add_gpts(out);
        add_recurrent(out);
        add_encoders(out);
        return out;
    }();
    return rows;
}

Value read_model_layer(const ModelFolder& folder, const LayerAsk& ask, const PathOf& path) {
    try {
        const Stack stack = stack_of(folder, ask);
        const std::string kind = kind_of_layer(stack.config, *stack.rows.front(), ask.layer);
        const Architecture& row = row_for(stack, kind, ask.layer);
        return LayerReader(folder, stack.config, row, ask, kind, path).read();
    } catch (Error& error) {
        folder.locate_error(error);
        throw;
    }
}

Index layers_of(const ModelFolder& folder, const LayerAsk& ask) {
    try {
        const Stack stack = stack_of(folder, ask);
        const std::string_view keys = stack.rows.front()->layers_keys;
        const auto n = stack.config.integer(keys, 1);
        if (!n)
            fail("",
                 "does not say how many layers it has: no " + std::string(keys) + " in " + folder.settings());
        return n->value;
    } catch (Error& error) {
        folder.locate_error(error);
        throw;
    }
}

}  // namespace attn
