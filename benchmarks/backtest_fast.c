/* The short seller on one symbol, in one loop: the same rules as the compiled backtest, written
   as a C programmer would, with everything in registers and nothing that could be left out. */
#include <math.h>
#include <stdint.h>

#define HOUR 3600000LL
#define DAY (24 * HOUR)
#define FUNDING (8 * HOUR)
#define SLACK 1e-9

typedef struct {
    double fast, slow, crosses_per_day;
    double stop_loss, take_profit, trail, trail_activation;
    int64_t max_age, cooldown;
    double margin, leverage, fee, slippage, deposit;
    double tick, tick_scale, step, step_scale, quantity_min, quantity_max, notional_min;
    double liquidation_loss, bankruptcy_loss, rate;
    int64_t interval;
} Plan;

typedef struct {
    int64_t entry_time, exit_time;
    double entry_price, exit_price, quantity, gross, fees, funding;
    int64_t reason;
} Trade;

static inline double ema(double before, double close, double count, double length)
{
    if (count <= length)
        return before + (close - before) / count;
    return before + (close - before) * (2.0 / (length + 1.0));
}

static inline double down(double x, double step, double scale)
{
    return floor(x / step + SLACK) / scale;
}

static inline double up(double x, double step, double scale)
{
    return ceil(x / step - SLACK) / scale;
}

int64_t backtest(const Plan *p, const int64_t *ts, const double *open, const double *high,
                 const double *low, const double *close, int64_t n, Trade *trades, double *balance)
{
    double fast = 0, slow = 0, before = 0, bars = 0, day = 0, crosses = 0;
    double quantity = 0, entry = 0, stop = 0, target = 0, trail = 0, activation = 0;
    double liquidation = 0, fees = 0, funding = 0, cash = p->deposit, ordered = 0;
    int64_t opened = 0, next_funding = 0, rests = 0, count = 0;
    int leaving = 0, leaving_reason = 0, trailing = 0;

    for (int64_t i = 0; i < n; i++) {
        int64_t closed = ts[i] + p->interval;
        if (quantity > 0) {
            while (next_funding <= ts[i]) {
                double price = next_funding == ts[i] ? open[i] : close[i - 1];
                double amount = quantity * price * p->rate;
                cash += amount;
                funding += amount;
                next_funding += FUNDING;
            }
        }
        double price = 0, reason = 0;
        int64_t left_at = 0;
        if (leaving && quantity > 0) {
            price = up(open[i] * (1 + p->slippage), p->tick, p->tick_scale);
            reason = leaving_reason;
            left_at = ts[i];
        } else if (ordered > 0) {
            quantity = ordered;
            entry = down(open[i] * (1 - p->slippage), p->tick, p->tick_scale);
            opened = ts[i];
            fees = quantity * entry * p->fee;
            cash -= fees;
            funding = 0;
            trailing = 0;
            liquidation = entry * (1 + p->liquidation_loss);
            next_funding = opened - opened % FUNDING + FUNDING;
            rests = opened + p->cooldown;
        }
        leaving = 0;
        ordered = 0;
        if (quantity > 0 && price == 0) {
            double met = 0;
            if (open[i] >= liquidation) met = liquidation, reason = 4;
            else if (stop > 0 && open[i] >= stop) met = open[i], reason = 1;
            else if (target > 0 && open[i] <= target) met = open[i], reason = 3;
            else if ((stop <= 0 || liquidation <= stop) && high[i] >= liquidation)
                met = liquidation, reason = 4;
            else if (stop > 0 && high[i] >= stop) met = stop, reason = 1;
            else if (target > 0 && low[i] <= target) met = target, reason = 3;
            else if (trail > 0 && (activation <= 0 || low[i] <= activation)) {
                double moved = low[i] + trail;
                if (stop <= 0 || moved < stop) {
                    double level = down(moved, p->tick, p->tick_scale);
                    if (level != stop && moved != stop) {
                        stop = level;
                        trailing = 1;
                        if (close[i] >= stop) met = stop, reason = 1;
                    }
                }
            }
            if (met > 0) {
                price = reason == 4
                    ? up(entry * (1 + p->bankruptcy_loss), p->tick, p->tick_scale)
                    : up(met * (1 + p->slippage), p->tick, p->tick_scale);
                if (reason == 1 && trailing) reason = 2;
                left_at = closed;
            }
        }
        if (price > 0) {
            double gross = quantity * (entry - price), fee = quantity * price * p->fee;
            cash += gross - fee;
            trades[count++] = (Trade){opened, left_at, entry, price, quantity, gross,
                                      fees + fee, funding, (int64_t)reason};
            quantity = 0;
            rests = left_at + p->cooldown;
        }

        double now = close[i];
        double fast_before = fast, slow_before = slow;
        bars += 1;
        fast = ema(fast, now, bars, p->fast);
        slow = ema(slow, now, bars, p->slow);
        double today = (double)(ts[i] / DAY);
        if (today != day) crosses = 0;
        int enter = 0, leave = 0;
        if (bars > p->fast && bars > p->slow) {
            if (now < fast && now < slow) {
                if (before >= fast_before || before >= slow_before) {
                    crosses += 1;
                    enter = crosses <= p->crosses_per_day;
                }
            } else {
                leave = 1;
            }
        }
        before = now;
        day = today;
        if (quantity > 0) {
            if (p->max_age > 0 && closed - opened >= p->max_age) leaving = 1, leaving_reason = 5;
            else if (leave && closed >= rests) leaving = 1, leaving_reason = 6;
        } else if (enter && closed >= rests) {
            double wanted = cash * p->margin * p->leverage / now;
            double lot = down(wanted, p->step, p->step_scale), value = lot * now;
            int fits = cash > 0 && value / p->leverage + value * p->fee <= cash;
            if (fits && lot >= p->quantity_min && lot <= p->quantity_max
                && value >= p->notional_min) {
                ordered = lot;
                stop = p->stop_loss > 0
                    ? down(now * (1 + p->stop_loss), p->tick, p->tick_scale) : 0;
                target = p->take_profit > 0
                    ? down(now * (1 - p->take_profit), p->tick, p->tick_scale) : 0;
                trail = p->trail > 0 ? down(now * p->trail, p->tick, p->tick_scale) : 0;
                activation = trail > 0 && p->trail_activation > 0
                    ? down(now * (1 - p->trail_activation), p->tick, p->tick_scale) : 0;
            }
        }
    }
    *balance = cash;
    return count;
}
