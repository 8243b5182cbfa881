#include "factor.h"

#include <math.h>
#include <string.h>

#include "kernel.h"

#define AT(matrix, r, c) ((matrix)[PACKED(r) + (size_t)(c)])

static double dot(int n, const double *x, const double *y)
{
    /* Four sums, so that the additions do not wait for one another. */
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += x[i] * y[i];
        s1 += x[i + 1] * y[i + 1];
        s2 += x[i + 2] * y[i + 2];
        s3 += x[i + 3] * y[i + 3];
    }
    for (; i < n; i++)
        s0 += x[i] * y[i];
    return (s0 + s1) + (s2 + s3);
}

int cholesky(int d, double guard, double *a)
{
    int replaced = 0;
    for (int r = 0; r < d; r++) {
        double *row = a + PACKED(r);
        for (int c = 0; c < r; c++)
            row[c] = (row[c] - dot(c, row, a + PACKED(c))) / AT(a, c, c);
        const double least = row[r] > 0 ? guard * row[r] : guard;
        double pivot = row[r] - dot(r, row, row);
        if (!(pivot > least)) {
            pivot = least;
            if (!replaced)
                replaced = r + 1;
        }
        row[r] = sqrt(pivot);
    }
    return replaced;
}

void invert_lower(int d, const double *factor, double *inverse)
{
    /* Row r of L X = I: X_r = (e_r - sum_{c<r} L_rc X_c) / L_rr. */
    for (int r = 0; r < d; r++) {
        double *row = inverse + PACKED(r);
        memset(row, 0, (size_t)(r + 1) * sizeof(double));
        const double scale = 1 / AT(factor, r, r);
        for (int c = 0; c < r; c++) {
            const double by = -AT(factor, r, c) * scale;
            const double *above = inverse + PACKED(c);
            for (int j = 0; j <= c; j++)
                row[j] += by * above[j];
        }
        row[r] = scale;
    }
}

double log_determinant(int d, const double *factor)
{
    double sum = 0;
    for (int j = 0; j < d; j++)
        sum += log(AT(factor, j, j));
    return 2 * sum;
}

void multiply_lower(int d, const double *matrix, const double *x, double *y)
{
    for (int r = d - 1; r >= 0; r--)
        y[r] = dot(r + 1, matrix + PACKED(r), x);
}

void multiply_lower_transposed(int d, const double *matrix, const double *x, double *y)
{
    for (int c = 0; c < d; c++) {
        double sum = 0;
        for (int r = c; r < d; r++)
            sum += AT(matrix, r, c) * x[r];
        y[c] = sum;
    }
}

static void unpack(int d, const double *packed, double *square)
{
    for (int r = 0; r < d; r++)
        for (int c = 0; c <= r; c++)
            square[r * d + c] = square[c * d + r] = AT(packed, r, c);
}

void congruence(int d, const double *matrix, const double *symmetric, double *scratch, double *result)
{
    /* In place over the square: rows first (M S), then columns (M S) M'; both from the last on. */
    unpack(d, symmetric, scratch);
    for (int r = d - 1; r >= 0; r--) {
        double *row = scratch + (size_t)r * d;
        const double own = AT(matrix, r, r);
        for (int j = 0; j < d; j++)
            row[j] *= own;
        for (int c = 0; c < r; c++) {
            const double by = AT(matrix, r, c);
            const double *other = scratch + (size_t)c * d;
            for (int j = 0; j < d; j++)
                row[j] += by * other[j];
        }
    }
    for (int r = 0; r < d; r++)
        for (int c = 0; c <= r; c++)
            AT(result, r, c) = dot(c + 1, scratch + (size_t)r * d, matrix + PACKED(c));
}

double congruence_trace(int d, const double *matrix, const double *symmetric)
{
    double trace = 0;
    for (int r = 0; r < d; r++) {
        const double *row = matrix + PACKED(r);
        for (int i = 0; i <= r; i++) {
            double sum = 0.5 * row[i] * AT(symmetric, i, i);
            sum += dot(i, row, symmetric + PACKED(i));
            trace += 2 * row[i] * sum;
        }
    }
    return trace;
}

/* Eigenvalues and vectors of a symmetric matrix by cyclic Jacobi rotations (Golub & Van Loan, 8.5):
 * slower than tridiagonalisation, but simple, and accurate for the small eigenvalues that matter. */
static void jacobi(int d, double *a /* INOUT (d, d); eigenvalues on the diagonal */,
                   double *vectors /* OUT (d, d), one per row */)
{
    memset(vectors, 0, (size_t)d * d * sizeof(double));
    for (int j = 0; j < d; j++)
        vectors[j * d + j] = 1;
    for (int sweep = 0; sweep < 60; sweep++) {
        int rotated = 0;
        for (int p = 0; p < d - 1; p++)
            for (int q = p + 1; q < d; q++) {
                const double off = a[p * d + q];
                if (fabs(off) <= 1e-17 * sqrt(fabs(a[p * d + p] * a[q * d + q])) || off == 0
                    || fabs(off) < 1e-300)
                    continue;
                rotated = 1;
                const double theta = (a[q * d + q] - a[p * d + p]) / (2 * off);
                const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(1 + theta * theta));
                const double cosine = 1 / sqrt(1 + t * t), sine = t * cosine;
                for (int j = 0; j < d; j++) {
                    const double x = a[p * d + j], y = a[q * d + j];
                    a[p * d + j] = cosine * x - sine * y;
                    a[q * d + j] = sine * x + cosine * y;
                }
                for (int j = 0; j < d; j++) {
                    const double x = a[j * d + p], y = a[j * d + q];
                    a[j * d + p] = cosine * x - sine * y;
                    a[j * d + q] = sine * x + cosine * y;
                }
                a[p * d + q] = a[q * d + p] = 0;
                for (int j = 0; j < d; j++) {
                    const double x = vectors[p * d + j], y = vectors[q * d + j];
                    vectors[p * d + j] = cosine * x - sine * y;
                    vectors[q * d + j] = sine * x + cosine * y;
                }
            }
        if (!rotated)
            break;
    }
}

size_t spectrum_scratch(int d) { return 3 * (size_t)d * d + 2 * PACKED(d); }

int bound_spectrum(int d, const double *reference, double low, double high, double *symmetric,
                   double *scratch)
{
    double *values = scratch, *vectors = values + (size_t)d * d, *square = vectors + (size_t)d * d;
    double *inverse = square + (size_t)d * d, *relative = inverse + PACKED(d);
    if (reference) {
        invert_lower(d, reference, inverse);
        congruence(d, inverse, symmetric, square, relative);
    }
    unpack(d, reference ? relative : symmetric, values);
    jacobi(d, values, vectors);
    int raised = 0, moved = 0;
    for (int j = 0; j < d; j++) {
        double *value = &values[j * d + j];
        if (!(*value >= low)) {
            *value = low;
            raised++;
        } else if (*value > high) {
            *value = high;
            moved++;
        }
    }
    if (raised + moved == 0)
        return 0;
    for (int r = 0; r < d; r++)
        for (int c = 0; c <= r; c++) {
            double sum = 0;
            for (int j = 0; j < d; j++)
                sum += values[j * d + j] * vectors[j * d + r] * vectors[j * d + c];
            AT(relative, r, c) = sum;
        }
    if (reference)
        congruence(d, reference, relative, square, symmetric);
    else
        memcpy(symmetric, relative, PACKED(d) * sizeof(double));
    return raised;
}
