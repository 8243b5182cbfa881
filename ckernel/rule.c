#include "rule.h"

#include <math.h>

#include "factor.h"

double rule_constant(const struct metric *metric, int k)
{
    if (!(metric->weights[k] > 0))
        return HUGE_VAL;
    if (metric->assignment == MAHALANOBIS)
        return 0;
    const double log_det = is_tied(metric->covariance) ? 0 : metric->log_det[k];
    return log_det - 2 * log(metric->weights[k] / metric->total_weight);
}

enum form fit_form(enum covariance covariance)
{
    return is_tied(covariance) ? LINEAR : distance_form(covariance);
}

enum form distance_form(enum covariance covariance)
{
    if (is_tied(covariance) || shape_of(covariance) == SPHER)
        return ROUND;
    return shape_of(covariance) == DIAG ? AXES : TRIANGULAR;
}

/* c, then w = -2 S^-1 mu, with mu' S^-1 mu added to c. */
static void write_linear(const struct metric *metric, const double *center, double *scratch, double *row)
{
    const int d = metric->d;
    const double *a = metric->precision;
    double *y = scratch;
    if (shape_of(metric->covariance) == FULL)
        multiply_lower(d, a, center, y);
    else
        for (int j = 0; j < d; j++)
            y[j] = a[shape_of(metric->covariance) == DIAG ? j : 0] * center[j];
    for (int j = 0; j < d; j++)
        row[0] += y[j] * y[j];
    if (shape_of(metric->covariance) == FULL)
        multiply_lower_transposed(d, a, y, row + 1);
    else
        for (int j = 0; j < d; j++)
            row[1 + j] = a[shape_of(metric->covariance) == DIAG ? j : 0] * y[j];
    for (int j = 0; j < d; j++)
        row[1 + j] *= -2;
}

/* c, then A and b = -A mu in the order in which the kernels read them. */
static void write_triangular(int d, const double *a, const double *center, double *scratch, double *row)
{
    multiply_lower(d, a, center, scratch);
    row++;
    for (int r = 0; r < d;) {
        const int rows = d <= SMALL_D ? 1 : d - r < ROW_GROUP ? d - r : ROW_GROUP;
        for (int q = 0; q < rows; q++)
            *row++ = -scratch[r + q];
        for (int j = 0; j < r + rows; j++)
            for (int q = j > r ? j - r : 0; q < rows; q++)
                *row++ = a[PACKED(r + q) + j];
        r += rows;
    }
}

void rule_for_fit(const struct metric *metric, double *scratch, double *rule)
{
    if (!is_tied(metric->covariance)) {
        rule_for_distance(metric, scratch, rule);
        return;
    }
    const size_t size = rule_size(LINEAR, metric->d);
    for (int k = 0; k < metric->n_clusters; k++) {
        double *row = rule + (size_t)k * size;
        row[0] = rule_constant(metric, k);
        write_linear(metric, metric->centers + (size_t)k * metric->d, scratch, row);
    }
}

void rule_for_distance(const struct metric *metric, double *scratch, double *rule)
{
    const int d = metric->d;
    const enum form form = distance_form(metric->covariance);
    const size_t size = rule_size(form, d);
    const size_t spread = spread_size(shape_of(metric->covariance), d);
    for (int k = 0; k < metric->n_clusters; k++) {
        const double *center = metric->centers + (size_t)k * d;
        const double *a = metric->precision + (is_tied(metric->covariance) ? 0 : (size_t)k * spread);
        double *row = rule + (size_t)k * size;
        row[0] = rule_constant(metric, k);
        if (form == ROUND) {
            row[1] = is_tied(metric->covariance) ? 1 : a[0] * a[0];
            for (int j = 0; j < d; j++)
                row[2 + j] = center[j];
        } else if (form == AXES) {
            for (int j = 0; j < d; j++) {
                row[1 + j] = a[j];
                row[1 + d + j] = -a[j] * center[j];
            }
        } else {
            write_triangular(d, a, center, scratch, row);
        }
    }
}
