// Panels: the rows that are multiplied together, so many that their sums fill the registers.
//
// Rows are cut within each pair. How many share a panel changes no bit of any of them.
#pragma once

#include <cstdint>

#include "simd/simd.hpp"

namespace rerank {
namespace {

// Calls `visit(first row, rows)` for panels of nearly equal height.
template <class Visit>
inline void for_each_panel(int64_t length, Visit visit) {
    const int64_t panels = (length + kPanelRows - 1) / kPanelRows;
    int64_t row = 0;
    for (int64_t panel = 0; panel < panels; ++panel) {
        const int rows = static_cast<int>(length / panels + (panel < length % panels));
        visit(row, rows);
        row += rows;
    }
}

template <int Rows>
struct RowCount {
    static constexpr int value = Rows;
};

// Calls `visit` with the number of rows as a constant, for loops that must be unrolled.
template <class Visit>
RERANK_INLINE void with_rows(int rows, Visit visit) {
    // No panel is higher than kPanelRows: code for more rows need not be made.
    const auto visit_with = [&](auto count) RERANK_LAMBDA {
        visit(RowCount<(count.value < kPanelRows ? count.value : kPanelRows)>());
    };
    switch (rows) {
        case 1:
            return visit_with(RowCount<1>());
        case 2:
            return visit_with(RowCount<2>());
        case 3:
            return visit_with(RowCount<3>());
        case 4:
            return visit_with(RowCount<4>());
        case 5:
            return visit_with(RowCount<5>());
        case 6:
            return visit_with(RowCount<6>());
        case 7:
            return visit_with(RowCount<7>());
        case 8:
            return visit_with(RowCount<8>());
        case 9:
            return visit_with(RowCount<9>());
        case 10:
            return visit_with(RowCount<10>());
        case 11:
            return visit_with(RowCount<11>());
        default:
            return visit_with(RowCount<12>());
    }
}
static_assert(kPanelRows <= 12, "with_rows has a case for each height");

}  // namespace
}  // namespace rerank
