/* timestamp — see the header. No time zones and no libc calendar: those depend on the machine. */
#include "protocol/data/timestamp.h"

#include <stdio.h>

enum {
    DAY_S = 86400,
    ERA_DAYS = 146097,   /* 400 years */
    EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
    FRACTION_DIGITS = 9,
    OFFSET_BYTES = 6, /* "+02:00" */
};
static const int64_t ns_per_s = 1000000000;

struct date {
    int64_t year;
    unsigned month, day;
};

/* Years that begin in March put the leap day last. */
static int64_t days_of(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month = date.month > 2 ? date.month - 3 : date.month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * ERA_DAYS + day_of_era - EPOCH_DAYS;
}

static struct date date_of(int64_t days)
{
    days += EPOCH_DAYS;
    int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t day = days - era * ERA_DAYS;
    int64_t year = (day - day / 1460 + day / 36524 - day / (ERA_DAYS - 1)) / 365;
    int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    return (struct date){
        .year = year + era * 400 + (month >= 10),
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

void timestamp_format(int64_t ns, char out[TIMESTAMP_TEXT_BYTES])
{
    int64_t fraction = ns % ns_per_s, seconds = ns / ns_per_s;
    if (fraction < 0) {
        fraction += ns_per_s;
        seconds--;
    }
    int64_t second = seconds % DAY_S, days = seconds / DAY_S;
    if (second < 0) {
        second += DAY_S;
        days--;
    }
    struct date date = date_of(days);
    (void)snprintf(out, TIMESTAMP_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ",
        (unsigned)date.year % 10000, date.month % 100, date.day % 100,
        (unsigned)(second / 3600) % 100, (unsigned)(second / 60 % 60), (unsigned)(second % 60),
        (unsigned)fraction % 1000000000);
}

/* Takes `digits` digits off the front; the number is at most `max`. */
static bool take_number(struct slice *text, size_t digits, uint64_t max, unsigned *out)
{
    uint64_t number;
    if (slice_u64(slice_sub(*text, 0, digits), &number) != ERR_OK || text->size < digits ||
        number > max)
        return false;
    *text = slice_sub(*text, digits, text->size);
    *out = (unsigned)number;
    return true;
}

static bool take_byte(struct slice *text, char byte)
{
    if (text->size == 0 || (text->data[0] | 0x20) != (byte | 0x20))
        return false;
    *text = slice_sub(*text, 1, text->size);
    return true;
}

static bool take_date(struct slice *text, struct date *date)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year;
    if (!take_number(text, 4, 9999, &year) || !take_byte(text, '-') ||
        !take_number(text, 2, 12, &date->month) || !take_byte(text, '-') ||
        !take_number(text, 2, 31, &date->day) || date->month == 0 || date->day == 0)
        return false;
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    date->year = year;
    return date->day <= days[date->month - 1] + (unsigned)(date->month == 2 && is_leap);
}

/* ".5": what is beyond nanoseconds is cut off. */
static bool take_fraction(struct slice *text, int64_t *ns)
{
    int64_t unit = ns_per_s / 10;
    *ns = 0;
    if (text->size == 0 || text->data[0] != '.')
        return true;
    *text = slice_sub(*text, 1, text->size);
    size_t digits = 0;
    while (digits < text->size && text->data[digits] >= '0' && text->data[digits] <= '9') {
        *ns += unit * (text->data[digits++] - '0');
        unit /= 10;
    }
    *text = slice_sub(*text, digits, text->size);
    return digits > 0;
}

/* "Z", or how far the clock there is ahead of UTC. */
static bool take_offset(struct slice *text, int64_t *seconds)
{
    unsigned hours, minutes;
    *seconds = 0;
    if (take_byte(text, 'Z'))
        return true;
    if (text->size != OFFSET_BYTES || (text->data[0] != '+' && text->data[0] != '-'))
        return false;
    int sign = text->data[0] == '-' ? -1 : 1;
    *text = slice_sub(*text, 1, text->size);
    if (!take_number(text, 2, 23, &hours) || !take_byte(text, ':') ||
        !take_number(text, 2, 59, &minutes))
        return false;
    *seconds = sign * ((int64_t)hours * 3600 + (int64_t)minutes * 60);
    return true;
}

enum err timestamp_parse(struct slice text, int64_t *ns)
{
    struct date date;
    unsigned hour, minute, second;
    int64_t fraction, offset, result;
    if (!take_date(&text, &date) || !take_byte(&text, 'T') || !take_number(&text, 2, 23, &hour) ||
        !take_byte(&text, ':') || !take_number(&text, 2, 59, &minute) || !take_byte(&text, ':') ||
        !take_number(&text, 2, 60, &second) || !take_fraction(&text, &fraction) ||
        !take_offset(&text, &offset) || text.size)
        return ERR_INVALID;
    int64_t seconds = days_of(date) * DAY_S + (int64_t)hour * 3600 + (int64_t)minute * 60 +
                      (int64_t)second - offset;
    if (__builtin_mul_overflow(seconds, ns_per_s, &result) ||
        __builtin_add_overflow(result, fraction, &result))
        return ERR_INVALID;
    *ns = result;
    return ERR_OK;
}

enum err timestamp_parse_relative(struct slice text, int64_t now_ns, int64_t *ns)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY_S}};
    uint64_t count;
    if (text.size < 3 || text.data[0] != '-')
        return timestamp_parse(text, ns);
    TRY(slice_u64(slice_sub(text, 1, text.size - 2), &count));
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        int64_t back;
        if (text.data[text.size - 1] != units[i].unit)
            continue;
        if (count > INT64_MAX || __builtin_mul_overflow((int64_t)count, units[i].seconds, &back) ||
            __builtin_mul_overflow(back, ns_per_s, &back) ||
            __builtin_sub_overflow(now_ns, back, ns))
            return ERR_INVALID;
        return ERR_OK;
    }
    return ERR_INVALID;
}
