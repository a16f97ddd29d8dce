#include "lib/mistakes/mistakes.hpp"

#include <algorithm>

#include "lib/mistakes/gradient_mistakes.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::string_view page_head = R"(# Known mistakes

<!-- Written by tests/mistakes/mistakes_page.py from lib/mistakes/mistake_table.cpp: change the table, not this page. -->

`attn-calc diff` makes each of these mistakes with your input, one at a time and then two together, and names those that
give somebody's numbers. `attn-calc blindspots` says which of them an input cannot show; `attn-calc probe` writes an input
that tells them apart. An id with `:NAME` exists for each weight, and `weight_transposed:all` for all square ones at once;
`no_mask:MASK` for each mask where there are several: `no_mask:causal`, `no_mask:window`, `no_mask:chunk`,
`no_mask:prefix_keys`, `no_mask:token_blocks`, `no_mask:key_lengths`, `no_mask:0` and so on for those of `"mask"`.

| id | what was done | sign in the numbers | where to look | seen in |
| --- | --- | --- | --- | --- |
)";

/// "a, b" as "`a`, `b`".
std::string quoted(std::string_view list) {
    std::string out = "`";
    for (std::size_t k = 0; k < list.size(); ++k) {
        const bool comma = list.substr(k, 2) == ", ";
        out += comma ? "`, `" : std::string(1, list[k]);
        k += comma ? 1 : 0;
    }
    return out + "`";
}

std::string row_of(std::initializer_list<std::string_view> cells) {
    std::string out = "|";
    for (const std::string_view cell : cells) out += " " + std::string(cell) + " |";
    return out + "\n";
}

}  // namespace

bool MistakeRow::is_in_place_of(std::string_view other) const {
    const std::string list = ", " + std::string(in_place_of) + ", ";
    return list.find(", " + std::string(other) + ", ") != std::string::npos;
}

bool Mistake::is_rounding() const { return row == &mistake_row("rounded"); }

std::string words_of(const Measurement& measured) {
    const auto list = [](const std::vector<double>& numbers) {
        std::string out;
        for (const double x : numbers) out += (out.empty() ? "" : ", ") + significant(x, 4);
        return out;
    };
    return measured.what + ": theirs " + list(measured.theirs) +
           (measured.origin.empty() ? "" : " = " + measured.origin) +
           (measured.ours.empty() ? "" : ", ours " + list(measured.ours));
}

Catalogue catalogue_of(const Replay& replay, const Measures* measures) {
    Catalogue out;
    for (const MistakeRow& row : all_mistakes()) {
        if (std::string why = row.applies(replay); !why.empty()) {
            out.others.push_back({&row, std::move(why)});
            continue;
        }
        const std::size_t first = out.mistakes.size();
        std::optional<Forms> forms;
        if (measures && row.measure) forms = row.measure(replay, *measures);
        const bool measured = forms.has_value();
        if (!forms) forms = row.make(replay);
        for (Form& form : *forms) {
            const std::string id = std::string(row.id) + form.of;
            const auto there = std::find_if(out.mistakes.begin() + static_cast<std::ptrdiff_t>(first),
                                            out.mistakes.end(), [&](const Mistake& m) { return m.id == id; });
            if (there != out.mistakes.end())
                there->forms.push_back(std::move(form));
            else
                out.mistakes.push_back({&row, id, {std::move(form)}, measured});
        }
    }
    return out;
}

std::string mistakes_page() {
    std::string out(page_head);
    for (const MistakeRow& r : all_mistakes())
        out += row_of({quoted(r.names.empty() ? r.id : r.names), r.did, r.sign, r.hint, r.seen});
    out +=
        "\n## Where an input does not show them\n\n| id | it is not seen where | what would show it |\n"
        "| --- | --- | --- |\n";
    for (const MistakeRow& r : all_mistakes()) {
        std::string why;
        for (const Blind& b : r.blind) why += (why.empty() ? "" : "; ") + std::string(b.why);
        out += row_of({quoted(r.id), why, r.cure});
    }
    out +=
        "\nA mistake that changes a stage on the way may not reach the last one: where each row sees one "
        "key, for example, its\n"
        "weight is 1 whatever its score. `attn-calc blindspots` says how far it comes.\n"
        "\n## What is not a mistake\n\nThese change a stage on the way and no weight, and `diff` says "
        "so:\n\n";
    for (const std::string_view h : no_mistakes()) out += "- " + std::string(h) + "\n";
    out +=
        "\n## Mistakes of backward passes\n\nOf gradients, where the document has a `\"gradient\"` "
        "([gradients.md](gradients.md#somebodys-gradients)). An id with `:NAME` exists for each weight, or\n"
        "for each mask where there are several. `diff` makes them one at a time.\n\n"
        "| id | what was done | sign in the numbers | the line as it should be | not seen where |\n"
        "| --- | --- | --- | --- | --- |\n";
    for (const GradientMistakeRow& r : all_gradient_mistakes())
        out += row_of({quoted(r.id), r.did, r.sign, "`" + std::string(r.line) + "`", r.blind});
    out +=
        "\nNo mistakes, since they change no number: setting dS to 0 again where a weight is 0, leaving out "
        "the "
        "gradient of the row's maximum, the row's sum as\n"
        "that of dO times the final O.\n";
    return out;
}

}  // namespace attn
