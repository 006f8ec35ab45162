SELECT typeof(k) || ' ' || CASE typeof(k) WHEN 'real' THEN printf('%.15g', k) WHEN 'integer' THEN k ELSE hex(k) END,
    typeof(a) || ' ' || CASE typeof(a) WHEN 'real' THEN printf('%.15g', a) WHEN 'integer' THEN a ELSE hex(a) END,
    typeof(b) || ' ' || hex(b),
    typeof(c) || ' ' || CASE typeof(c) WHEN 'real' THEN printf('%.15g', c) ELSE hex(c) END
    FROM golden ORDER BY k;
