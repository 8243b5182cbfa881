/* Cholesky factors of small symmetric matrices, and the floor under their spectrum. */
#ifndef CKERNEL_FACTOR_H
#define CKERNEL_FACTOR_H

#include <stddef.h>

/* Factor a = L L' in place. A pivot that is not above `guard` times its diagonal entry is replaced by
 * `guard` times that entry (or by `guard`, where the entry is zero), so that the factor always exists.
 * Returns 0, or 1 + the column of the first pivot that was replaced. */
int cholesky(int d, double guard, double *a /* INOUT packed */);

/* inverse = L^-1. */
void invert_lower(int d, const double *factor /* IN packed */, double *inverse /* OUT packed */);

/* log |L L'| = 2 sum_j log L_jj. */
double log_determinant(int d, const double *factor /* IN packed */);

/* y = M x for a lower triangular M; y may be x. */
void multiply_lower(int d, const double *matrix /* IN packed */, const double *x /* IN (d) */,
                    double *y /* OUT (d) */);

/* y = M' x for a lower triangular M; y may be x. */
void multiply_lower_transposed(int d, const double *matrix /* IN packed */, const double *x /* IN (d) */,
                               double *y /* OUT (d) */);

/* result = M S M' for a lower triangular M and a symmetric S. */
void congruence(int d, const double *matrix /* IN packed */, const double *symmetric /* IN packed */,
                double *scratch /* (d, d) */, double *result /* OUT packed, may be symmetric */);

/* tr(M S M') for a lower triangular M and a symmetric S. */
double congruence_trace(int d, const double *matrix /* IN packed */,
                        const double *symmetric /* IN packed */);

/* Doubles of scratch that the two functions below need. */
size_t spectrum_scratch(int d);

/* Bound the eigenvalues of a symmetric matrix relative to a reference R = L L' (NULL: the identity):
 * those of L^-1 S L^-T become at least `low` and at most `high`. Raising them gives the maximum-likelihood covariance
 * under the constraint low R <= S <= high R, given the unconstrained one. Returns how many of them
 * were raised; S is left untouched, to the last bit, when none needs to move. */
int bound_spectrum(int d, const double *reference /* IN packed factor L or NULL */, double low, double high,
                   double *symmetric /* INOUT packed */, double *scratch);

#endif
