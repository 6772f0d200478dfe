#include "storm/chart.h"

#include "storm/stats.h"

#include <math.h>
#include <string.h>

/* The drawing's own units. As wide as a phone, so that text has a size that can be read there. */
#define WIDTH 400.0
#define HEIGHT 200.0
#define LEFT 46.0
#define RIGHT 8.0
#define TOP 10.0
#define BOTTOM 24.0
#define TICKS 5

void html_text(FILE *out, const char *text)
{
	char clean[1024];

	copy_printable(clean, sizeof(clean), text);
	for (const char *p = clean; *p; p++) {
		switch (*p) {
		case '&': fputs("&amp;", out); break;
		case '<': fputs("&lt;", out); break;
		case '>': fputs("&gt;", out); break;
		case '"': fputs("&quot;", out); break;
		case '\'': fputs("&#39;", out); break;
		default: fputc(*p, out);
		}
	}
}

double chart_tick(double max)
{
	static const double steps[] = { 1, 2, 5, 10 };
	double decade = pow(10, floor(log10(max / TICKS)));

	for (size_t i = 0; i < N_ELEMENTS(steps) - 1; i++)
		if (max / (decade * steps[i]) <= TICKS)
			return decade * steps[i];
	return decade * 10;
}

struct scale {
	double x_max, x_tick, y_max, y_tick;
};

static struct scale scale_of(const struct chart *c)
{
	struct scale s = { .x_max = MAX((double)c->n * c->step, 1e-3) };

	for (size_t l = 0; l < CHART_LINES && c->lines[l].name; l++)
		for (size_t i = 0; i < c->n; i++)
			if (c->lines[l].values[i] > s.y_max) /* NAN compares false */
				s.y_max = c->lines[l].values[i];
	s.y_max = s.y_max > 0 ? s.y_max : 1;
	s.x_tick = chart_tick(s.x_max);
	s.y_tick = chart_tick(s.y_max);
	return s;
}

static double x_of(const struct scale *s, double seconds)
{
	return LEFT + seconds / s->x_max * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct scale *s, double value)
{
	return HEIGHT - BOTTOM - value / s->y_max * (HEIGHT - TOP - BOTTOM);
}

static void draw_axes(FILE *out, const struct chart *c, const struct scale *s)
{
	unsigned ys = (unsigned)(s->y_max / s->y_tick * 1.0001), xs = (unsigned)(s->x_max / s->x_tick * 1.0001);

	for (unsigned i = 0; i <= ys; i++) {
		double v = i * s->y_tick;

		fprintf(out,
			"<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			LEFT, WIDTH - RIGHT, y_of(s, v), y_of(s, v), LEFT - 4, y_of(s, v) + 4, v);
	}
	for (unsigned i = 0; i <= xs; i++)
		fprintf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%g%s</text>\n",
			x_of(s, i * s->x_tick), HEIGHT - 8, i * s->x_tick, i ? "" : " s");
	fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" class=\"unit\">", LEFT + 4, TOP + 10);
	html_text(out, c->unit);
	fputs("</text>\n", out);
}

/* A value stands at the end of its step. A lone one between gaps is a dot: round caps make a line of no length visible. */
static void draw_line(FILE *out, const struct chart *c, const struct scale *s, size_t l)
{
	bool is_down = false;

	fprintf(out, "<path class=\"l%zu\" d=\"", l);
	for (size_t i = 0; i < c->n; i++) {
		double v = c->lines[l].values[i], x = x_of(s, (double)(i + 1) * c->step);

		if (isnan(v)) {
			is_down = false;
			continue;
		}
		fprintf(out, "%c%.1f %.1f", is_down ? 'L' : 'M', x, y_of(s, v));
		if (!is_down)
			fprintf(out, "h0");
		is_down = true;
	}
	fputs("\"/>\n", out);
}

static void write_legend(FILE *out, const struct chart *c)
{
	fputs("<p class=\"legend\">", out);
	for (size_t l = 0; l < CHART_LINES && c->lines[l].name; l++) {
		fprintf(out, "<span><svg width=\"24\" height=\"8\" aria-hidden=\"true\"><path class=\"l%zu\" d=\"M1 4h22\"/></svg> ",
			l);
		html_text(out, c->lines[l].name);
		fputs("</span> ", out);
	}
	fputs("</p>\n", out);
}

static bool is_empty(const struct chart *c, size_t i)
{
	for (size_t l = 0; l < CHART_LINES && c->lines[l].name; l++)
		if (!isnan(c->lines[l].values[i]))
			return false;
	return true;
}

static void write_table(FILE *out, const struct chart *c)
{
	fputs("<details><summary>The same as a table</summary><div class=\"wide\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">until, s</th>",
		out);
	for (size_t l = 0; l < CHART_LINES && c->lines[l].name; l++) {
		fputs("<th scope=\"col\">", out);
		html_text(out, c->lines[l].name);
		fputs(", ", out);
		html_text(out, c->unit);
		fputs("</th>", out);
	}
	fputs("</tr></thead><tbody>\n", out);
	for (size_t i = 0; i < c->n; i++) {
		if (is_empty(c, i))
			continue;
		fprintf(out, "<tr><th scope=\"row\">%.3f</th>", (double)(i + 1) * c->step);
		for (size_t l = 0; l < CHART_LINES && c->lines[l].name; l++) {
			if (isnan(c->lines[l].values[i]))
				fputs("<td>–</td>", out);
			else
				fprintf(out, "<td>%.6g</td>", c->lines[l].values[i]);
		}
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></div></details>\n", out);
}

void chart_write(FILE *out, const struct chart *c, unsigned number)
{
	struct scale s = scale_of(c);

	fputs("<figure><figcaption>", out);
	html_text(out, c->title);
	fprintf(out, "</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"c%u\"><title id=\"c%u\">",
		WIDTH, HEIGHT, number, number);
	html_text(out, c->title);
	fputs("; the table below has its figures</title>\n", out);
	draw_axes(out, c, &s);
	for (size_t l = 0; l < CHART_LINES && c->lines[l].name; l++)
		draw_line(out, c, &s, l);
	fputs("</svg>\n", out);
	write_legend(out, c);
	write_table(out, c);
	fputs("</figure>\n", out);
}
