#include "lib/render/sheet/numbers.hpp"

#include <array>
#include <charconv>
#include <optional>

#include "lib/run/dropout_rows.hpp"
#include "lib/run/mask.hpp"
#include "lib/run/materialize.hpp"

namespace attn::sheet {

double as_typed(double number, DType dtype) {
    if (is_wide(dtype)) return number;
    std::array<char, 64> text{};
    const auto written = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(number));
    double out = number;
    std::from_chars(text.data(), written.ptr, out);
    return out;
}

struct PlanNumbers::Held {
    Held() = default;
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    virtual ~Held() = default;
    virtual double tensor(std::size_t which, Index k) const = 0;
    virtual double weight(WeightRole role, Index row, Index column) = 0;
    virtual double bias(WeightRole role, Index column) const = 0;
    virtual std::uint8_t cell_of_row(bool of_mask, const At& at) = 0;
};

template <class T>
struct PlanNumbers::HeldAs : Held {
    explicit HeldAs(const Plan& p) : plan(p), tensors(p, pool), mask(p, tensors), dropout(p, tensors) {
        for (std::size_t r = 0; r < projection_count; ++r)
            if (!p.projections[r].weight.empty()) maps[r].emplace(p.projections[r], p, tensors);
    }

    double tensor(std::size_t which, Index k) const override {
        T number{};
        tensors.copy(which, k, {&number, 1});
        return as_typed(static_cast<double>(number), plan.dtype);
    }
    double weight(WeightRole role, Index row, Index column) override {
        if (role != role_of_copy || copy.empty()) {
            copy = maps[idx(role)]->copied(0, maps[idx(role)]->d_out());
            role_of_copy = role;
        }
        return as_typed(static_cast<double>(copy[idx(row * maps[idx(role)]->d_out() + column)]), plan.dtype);
    }
    double bias(WeightRole role, Index column) const override {
        return as_typed(static_cast<double>(maps[idx(role)]->bias()[idx(column)]), plan.dtype);
    }
    std::uint8_t cell_of_row(bool of_mask, const At& at) override {
        RowOfCells& row = rows[of_mask ? 0 : 1];
        if (row.cells.empty() || row.item != at.item || row.head != at.head || row.query != at.row) {
            row = {at.item, at.head, at.row, std::vector<std::uint8_t>(idx(plan.keys))};
            if (of_mask) {
                mask.hide(at.item, at.head, at.row, row.cells.data());
            } else {
                dropout.row(at.item, at.head, at.row, row.cells.data());
            }
        }
        return row.cells[idx(at.column)];
    }

    struct RowOfCells {
        Index item = 0, head = 0, query = 0;
        std::vector<std::uint8_t> cells;
    };

    const Plan& plan;
    Pool pool{1};
    Tensors<T> tensors;
    Mask<T> mask;
    DropoutRows dropout;
    std::array<std::optional<LinearMap<T>>, projection_count> maps;
    WeightRole role_of_copy = WeightRole::query;
    std::vector<T> copy;
    std::array<RowOfCells, 2> rows;
};

PlanNumbers::PlanNumbers(const Plan& plan) {
    if (!is_wide(plan.dtype)) {
        held_ = std::make_unique<HeldAs<float>>(plan);
    } else {
        held_ = std::make_unique<HeldAs<double>>(plan);
    }
}

PlanNumbers::~PlanNumbers() = default;

double PlanNumbers::tensor(std::size_t which, Index k) const { return held_->tensor(which, k); }
double PlanNumbers::weight(WeightRole role, Index row, Index column) {
    return held_->weight(role, row, column);
}
double PlanNumbers::bias(WeightRole role, Index column) const { return held_->bias(role, column); }
bool PlanNumbers::is_visible(const At& at) { return held_->cell_of_row(true, at) == 0; }
bool PlanNumbers::is_kept(const At& at) { return held_->cell_of_row(false, at) != 0; }

}  // namespace attn::sheet
