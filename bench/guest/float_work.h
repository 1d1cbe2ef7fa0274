/// Double-precision work that x87.c and sse2.c compile, each for its unit: five bodies under gravity, and a
/// Mandelbrot set.
#pragma once

#include "bench/guest/bench.h"

enum { kBodies = 5, kGrid = 24, kDepth = 64 };

typedef struct {
  double x, y, z, vx, vy, vz, mass;
} Body;

static void move_bodies(Body* bodies, double dt) {
  for (int i = 0; i < kBodies; i++) {
    for (int j = i + 1; j < kBodies; j++) {
      Body* a = &bodies[i];
      Body* b = &bodies[j];
      const double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      const double square = dx * dx + dy * dy + dz * dz + 0.01;
      const double pull = dt / (square * __builtin_sqrt(square));
      a->vx -= dx * b->mass * pull;
      a->vy -= dy * b->mass * pull;
      a->vz -= dz * b->mass * pull;
      b->vx += dx * a->mass * pull;
      b->vy += dy * a->mass * pull;
      b->vz += dz * a->mass * pull;
    }
  }
  for (int i = 0; i < kBodies; i++) {
    bodies[i].x += dt * bodies[i].vx;
    bodies[i].y += dt * bodies[i].vy;
    bodies[i].z += dt * bodies[i].vz;
  }
}

static uint32_t mandelbrot(void) {
  uint32_t steps = 0;
  for (int row = 0; row < kGrid; row++) {
    for (int column = 0; column < kGrid; column++) {
      const double cr = column * (3.0 / kGrid) - 2.0, ci = row * (2.0 / kGrid) - 1.0;
      double r = 0, i = 0;
      int depth = 0;
      while (depth < kDepth && r * r + i * i < 4.0) {
        const double next = r * r - i * i + cr;
        i = 2 * r * i + ci;
        r = next;
        depth++;
      }
      steps += (uint32_t)depth;
    }
  }
  return steps;
}

/// Returns bits of the last position, so that a wrong rounding anywhere shows.
static uint32_t float_work(uint32_t units) {
  Body bodies[kBodies];
  uint32_t random = 11;
  for (int i = 0; i < kBodies; i++) {
    double fields[7];
    for (int field = 0; field < 7; field++)
      fields[field] = (int32_t)(next_random(&random) >> 16) * (1.0 / 65536);
    bodies[i] = (Body){fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]};
  }
  uint32_t steps = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (int i = 0; i < 64; i++) move_bodies(bodies, 0.001);
    steps += mandelbrot();
  }
  union {
    double number;
    uint32_t halves[2];
  } last = {bodies[0].x};
  return last.halves[0] ^ last.halves[1] ^ steps;
}
