#include "lib/mistakes/probe.hpp"

#include <cmath>

#include "lib/error.hpp"
#include "lib/input/value.hpp"
#include "lib/random/torch.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::uint64_t most_seeds = 60;

/// Normal numbers of four digits, row by row.
class ProbeWriter {
  public:
    explicit ProbeWriter(std::uint64_t seed) : generator_(seed) {}

    std::string vector(Index n, double size) {
        std::vector<float> x(static_cast<std::size_t>(n));
        torch::normal(generator_, x, 0, size);
        std::string out = "[";
        for (const float v : x) out += (out.size() > 1 ? ", " : "") + fixed(static_cast<double>(v), 4);
        return out + "]";
    }
    std::string matrix(Index rows, Index columns, double size, const std::string& indent) {
        std::string out = "[";
        for (Index i = 0; i < rows; ++i)
            out += (i > 0 ? ",\n" + indent : std::string()) + vector(columns, size);
        return out + "]";
    }

  private:
    torch::Generator generator_;
};

/// The document, and the arrays alone.
void write_document(const ProbeAsk& ask, std::uint64_t seed, Probe& probe) {
    ProbeWriter w(seed);
    std::string& arrays = probe.arrays;
    const Index kv = ask.kv_heads > 0 ? ask.kv_heads : ask.heads, kv_width = ask.width / ask.heads * kv;
    // Scores of a spread near 1.5: no key alone, none like another.
    const double size = 1.5 / std::sqrt(static_cast<double>(ask.width));
    std::string out = "{\n  \"variant\": \"" +
                      std::string(kv != ask.heads ? "grouped_query"
                                  : ask.heads > 1 ? "multi_head"
                                                  : "self_attention") +
                      "\",\n";
    if (ask.heads > 1) out += "  \"num_heads\": " + std::to_string(ask.heads) + ",\n";
    if (kv != ask.heads) out += "  \"num_kv_heads\": " + std::to_string(kv) + ",\n";
    out += "  \"causal\": " +
           (ask.causal == "true" || ask.causal == "false" ? ask.causal : "\"" + ask.causal + "\"") + ",\n";
    if (ask.window) out += "  \"window\": {\"left\": " + std::to_string(*ask.window) + "},\n";
    if (ask.softcap) out += "  \"softcap\": " + fixed(*ask.softcap, 4) + ",\n";
    if (ask.rope) out += "  \"rope\": {\"base\": 10000, \"pairs\": \"half\"},\n";
    const auto array = [&](const std::string& indent, const std::string& name, const std::string& numbers) {
        arrays += (arrays.empty() ? "{\"" : ",\n\"") + name + "\": " + numbers;
        out += indent + "\"" + name + "\": " + numbers;
    };
    array("  ", "embeddings", w.matrix(ask.tokens, ask.width, 1.0, "    "));
    out += ",\n  \"weights\": {\n";
    const auto weight = [&](const std::string& name, Index columns, bool last) {
        array("    ", "W_" + name, w.matrix(ask.width, columns, size, "      "));
        out += ",\n";
        array("    ", "b_" + name, w.vector(columns, 0.5));
        out += last ? "\n" : ",\n";
    };
    weight("query", ask.width, false);
    weight("key", kv_width, false);
    weight("value", kv_width, false);
    weight("out", ask.width, true);
    out += "  }";
    if (ask.gradient) {
        out += ",\n  \"gradient\": {\n";
        array("    ", "output", w.matrix(ask.tokens, ask.width, 1.0, "      "));
        out += "\n  }";
    }
    arrays += "}\n";
    probe.document = out + "\n}\n";
}

}  // namespace

std::optional<ProbeMisfit> misfit_of(const ProbeAsk& ask) {
    if (ask.width % ask.heads != 0) return ProbeMisfit::width_and_heads;
    if (ask.kv_heads > 0 && ask.heads % ask.kv_heads != 0) return ProbeMisfit::heads_and_kv_heads;
    if (ask.rope && ask.width / ask.heads % 2 != 0) return ProbeMisfit::odd_heads_with_rope;
    return std::nullopt;
}

Probe make_probe(const ProbeAsk& ask) {
    if (misfit_of(ask)) throw Error(Exit::defect, {}, "the sizes of a probe do not fit one another");
    Probe best;
    for (std::uint64_t seed = ask.seed; seed < ask.seed + most_seeds; ++seed) {
        Probe now;
        now.seed = seed;
        write_document(ask, seed, now);
        const Source source{"probe", now.document};
        const std::vector<Document> documents = parse_documents(source);
        const Plan plan = make_plan(read_problem(documents.front().root), {});
        now.found = blindspots_of(plan);
        if (ask.gradient) now.gradients = gradient_blindspots_of(plan);
        now.apart = now.nearest().nearest > Probe::least_apart;
        if (seed == ask.seed || now.nearest().nearest > best.nearest().nearest) best = std::move(now);
        if (best.apart) break;
    }
    return best;
}

}  // namespace attn
