// Runs both operators of every engine that this CPU has over made-up batches, and compares them with the
// portable one.
//
//     fuzz [SEED] [ROUNDS]
//
// Meant to be built with sanitizers. It says what is wrong, how to repeat it, and exits with 1.
#include <cstdio>
#include <cstring>
#include <functional>

#include "core/cpu.hpp"
#include "weights.hpp"

#ifndef RERANK_ENGINES
#define RERANK_ENGINES &portable_engine, &avx2_engine, &avx512_engine, &avx512_bf16_engine
#endif

namespace rerank::fuzz {
namespace {

// Of the root mean square of the portable result: what other roundings of activations and bf16 make of it.
constexpr double kLayerTolerance = 0.05;
constexpr double kFirstRowsTolerance = 1e-5;

enum class Values { kUsual, kZero, kDenormal, kLarge, kConstant, kNan, kInfinite };
constexpr int kValueKinds = 7;

using Rows = std::vector<float>;

struct Case {
    int64_t hidden;
    std::vector<Rows> pairs;  // [tokens, hidden] each
    std::vector<Values> values;
};

// One operator with its weights, of one engine.
struct Operator {
    const char* engine;
    int64_t hidden;
    int64_t row_size;   // floats of output for each row, or for each pair
    bool row_per_pair;  // FirstRows
    std::function<size_t(const Batch&)> scratch;
    std::function<void(const Batch&, const float*, float*, void*)> run;
};

int failures = 0;

void fail(const Operator& op, const char* what, const Case& test) {
    std::printf("%s: %s; lengths", op.engine, what);
    for (const Rows& pair : test.pairs)
        std::printf(" %zu", pair.size() / static_cast<size_t>(test.hidden));
    std::printf("\n");
    ++failures;
}

Rows make_pair(Random& random, int64_t count, Values values) {
    Rows rows(static_cast<size_t>(count));
    for (float& v : rows) {
        v = random.normal();
        if (values == Values::kZero) v = 0.0f;
        if (values == Values::kDenormal) v *= 1e-41f;
        if (values == Values::kLarge) v *= 1e15f;
        if (values == Values::kConstant) v = 3.5f;
    }
    float& odd = rows[random.below(static_cast<uint32_t>(count))];
    if (values == Values::kNan) odd = NAN;
    if (values == Values::kInfinite) odd = random.below(2) ? INFINITY : -INFINITY;
    return rows;
}

// Runs pairs `order` of a case with `pitch` rows for each (0: end to end) and returns what each pair got.
// Scratch and padding are filled with NaN, which must not show.
std::vector<Rows> outputs(const Operator& op, const Case& test, const std::vector<size_t>& order,
                          int64_t pitch) {
    std::vector<int32_t> lengths;
    int64_t rows = 0;
    for (size_t pair : order) {
        lengths.push_back(static_cast<int32_t>(test.pairs[pair].size() / static_cast<size_t>(op.hidden)));
        rows += pitch ? pitch : lengths.back();
    }
    const Batch batch = {static_cast<int64_t>(order.size()), lengths.data(), pitch};
    Exact<float> x(static_cast<size_t>(rows * op.hidden));
    std::memset(x.data(), 0xff, x.size() * sizeof(float));
    Exact<float> out(static_cast<size_t>((op.row_per_pair ? batch.pairs : rows) * op.row_size));
    const auto place = [&](size_t index) {
        int64_t row = pitch * static_cast<int64_t>(index);
        for (size_t before = 0; !pitch && before < index; ++before)
            row += lengths[before];
        return row;
    };
    for (size_t index = 0; index < order.size(); ++index) {
        const Rows& pair = test.pairs[order[index]];
        std::memcpy(x.data() + place(index) * op.hidden, pair.data(), pair.size() * sizeof(float));
    }
    Exact<uint8_t> scratch(op.scratch(batch));
    std::memset(scratch.data(), 0xff, scratch.size());
    op.run(batch, x.data(), out.data(), scratch.data());
    std::vector<Rows> found(test.pairs.size());
    for (size_t index = 0; index < order.size(); ++index) {
        const int64_t row = op.row_per_pair ? static_cast<int64_t>(index) : place(index);
        const float* start = out.data() + row * op.row_size;
        found[order[index]].assign(start, start + op.row_size * (op.row_per_pair ? 1 : lengths[index]));
    }
    return found;
}

bool same_bits(const std::vector<Rows>& a, const std::vector<Rows>& b) {
    for (size_t pair = 0; pair < a.size(); ++pair) {
        if (std::memcmp(a[pair].data(), b[pair].data(), a[pair].size() * sizeof(float)) != 0) return false;
    }
    return true;
}

// A pair's bits depend on nothing but the pair.
void check_invariance(const Operator& op, const Case& test, const std::vector<Rows>& together) {
    std::vector<size_t> backwards;
    int64_t longest = 0;
    for (size_t pair = test.pairs.size(); pair-- > 0;) {
        backwards.push_back(pair);
        const auto rows = static_cast<int64_t>(test.pairs[pair].size()) / op.hidden;
        if (rows > longest) longest = rows;
        if (!same_bits({outputs(op, test, {pair}, 0)[pair]}, {together[pair]})) {
            fail(op, "a pair alone has other bits than with others", test);
        }
    }
    if (!same_bits(outputs(op, test, backwards, 0), together))
        fail(op, "the order of pairs changes bits", test);
    if (!same_bits(outputs(op, test, backwards, longest + 3), together))
        fail(op, "padding changes bits", test);
}

// Sound pairs are close to the portable engine's; those with a NaN or an infinity are NaN. What FirstRows
// copies of the first token stays as it is. Of huge values only pairs of one token are compared: with more,
// the order of sums decides which token takes all of the attention.
void check_values(const Operator& op, const Case& test, const std::vector<Rows>& found,
                  const std::vector<Rows>& wanted, double tolerance) {
    for (size_t pair = 0; pair < found.size(); ++pair) {
        const bool broken = test.values[pair] == Values::kNan || test.values[pair] == Values::kInfinite;
        double squares = 0.0;
        double errors = 0.0;
        const size_t computed = found[pair].size() - (op.row_per_pair ? static_cast<size_t>(op.hidden) : 0);
        for (size_t i = 0; i < computed; ++i) {
            if (std::isnan(found[pair][i]) != broken)
                return fail(op, broken ? "a plausible number" : "a NaN", test);
            squares += static_cast<double>(wanted[pair][i]) * wanted[pair][i];
            errors += std::pow(static_cast<double>(found[pair][i]) - wanted[pair][i], 2);
        }
        const bool one_token = static_cast<int64_t>(test.pairs[pair].size()) == op.hidden;
        const bool compared =
            test.values[pair] == Values::kUsual || (test.values[pair] == Values::kLarge && one_token);
        if (compared && errors > tolerance * tolerance * squares) {
            fail(op, "too far from the portable engine", test);
        }
    }
}

Case make_case(Random& random, int64_t hidden, int64_t most_tokens) {
    Case test = {hidden, {}, {}};
    const int64_t pairs = random.between(1, 4);
    for (int64_t pair = 0; pair < pairs; ++pair) {
        // Half of them short, where panels and blocks of keys have their edges.
        const int64_t tokens = random.between(1, random.below(2) && most_tokens > 70 ? 70 : most_tokens);
        const auto values = random.below(2) ? Values::kUsual : static_cast<Values>(random.below(kValueKinds));
        test.values.push_back(values);
        test.pairs.push_back(make_pair(random, tokens * hidden, values));
    }
    return test;
}

Case huge_case(Random& random, int64_t hidden) {
    Case test = {hidden, {}, {}};
    for (int pair = 0; pair < 3; ++pair) {
        test.values.push_back(Values::kLarge);
        test.pairs.push_back(make_pair(random, hidden, Values::kLarge));
    }
    return test;
}

void check(const std::vector<Operator>& operators, const Case& test, double tolerance) {
    std::vector<size_t> order(test.pairs.size());
    for (size_t pair = 0; pair < order.size(); ++pair)
        order[pair] = pair;
    std::vector<Rows> wanted;
    for (const Operator& op : operators) {
        const std::vector<Rows> found = outputs(op, test, order, 0);
        if (wanted.empty()) wanted = found;
        check_values(op, test, found, wanted, tolerance);
        check_invariance(op, test, found);
    }
}

// RERANK_ENGINES names those that are linked, portable_engine first. The others need not be, where the CPU
// lacks their instructions anyway.
std::vector<const Engine*> engines_here() {
    std::vector<const Engine*> found;
    for (const Engine* engine : {RERANK_ENGINES}) {
        if (!missing_instructions(engine->needs)) found.push_back(engine);
    }
    return found;
}

void fuzz_layer(const LayerShape& shape, Random& random, int64_t most_tokens) {
    Weights owner(random.below(1000));
    const LayerWeights weights = owner.layer(shape, random.below(2) != 0);
    std::vector<Operator> operators;
    for (const Engine* engine : engines_here()) {
        operators.push_back(
            {engine->name, shape.hidden, shape.hidden, false,
             [&, engine](const Batch& batch) { return engine->layer_scratch(weights, batch); },
             [&, engine](const Batch& batch, const float* x, float* out, void* scratch) {
                 engine->layer(weights, batch, x, out, scratch);
             }});
    }
    check(operators, make_case(random, shape.hidden, most_tokens), kLayerTolerance);
    Random apart(most_tokens);
    check(operators, huge_case(apart, shape.hidden), kLayerTolerance);
}

void fuzz_first_rows(const FirstRowsShape& shape, Random& random, int64_t most_tokens) {
    Weights owner(random.below(1000));
    const FirstRowsWeights weights = owner.first_rows(shape);
    std::vector<Operator> operators;
    for (const Engine* engine : engines_here()) {
        operators.push_back(
            {engine->name, shape.hidden, (shape.heads + 1) * shape.hidden, true,
             [&, engine](const Batch& batch) { return engine->first_rows_scratch(weights, batch); },
             [&, engine](const Batch& batch, const float* x, float* out, void* scratch) {
                 engine->first_rows(weights, batch, x, out, scratch);
             }});
    }
    check(operators, make_case(random, shape.hidden, most_tokens), kFirstRowsTolerance);
}

void fuzz_round(Random& random, int round) {
    const Activation activation = static_cast<Activation>(round % 3);
    const LayerShape shapes[] = {
        {64, 2, 64, activation},
        {64, 1, 128, activation},
        {128, 4, 192, activation},
        {192, 2, 64, activation},
    };
    // Long pairs and large layers by turns: the portable engine is slow.
    fuzz_layer(shapes[round % 4], random, round % 4 == 0 ? 600 : 80);
    if (round % 8 == 7) fuzz_layer({384, 12, 1536, activation}, random, 5);
    const FirstRowsShape rows[] = {{64, 2}, {192, 6}, {640, 20}};
    fuzz_first_rows(rows[round % 3], random, round % 3 == 0 ? 600 : 60);
}

}  // namespace
}  // namespace rerank::fuzz

int main(int count, char** values) {
    using namespace rerank::fuzz;
    const auto seed = static_cast<uint64_t>(count > 1 ? std::atoll(values[1]) : 1);
    const int rounds = count > 2 ? std::atoi(values[2]) : 16;
    for (const rerank::Engine* engine : engines_here())
        std::printf("engine %s\n", engine->name);
    for (int round = 0; round < rounds; ++round) {
        Random random(seed * 1000 + static_cast<uint64_t>(round));
        const int before = failures;
        fuzz_round(random, round);
        if (failures != before)
            std::printf("seed %llu, round %d\n", static_cast<unsigned long long>(seed), round);
    }
    std::printf("%d rounds, %d failures\n", rounds, failures);
    return failures ? 1 : 0;
}
